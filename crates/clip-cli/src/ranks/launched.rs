//! Whether a launcher started this process together with others: it says so in the environment.

/// Variables that hold the number of processes, and who sets them.
const SIZES: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_SIZE", "by Open MPI's mpirun"),
    ("PMI_SIZE", "by mpiexec"),
    ("MPI_LOCALNRANKS", "by mpiexec"),
    ("SLURM_STEP_NUM_TASKS", "by SLURM's srun"),
];

/// What a launcher started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launched {
    /// Number of processes, 2 or more.
    pub(super) size: usize,
    /// Which launcher.
    pub(super) by: &'static str,
}

/// Reads the environment; `None` for a process alone.
pub(super) fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    let read = |(name, by)| Some(Launched { size: variable(name)?.parse().ok()?, by });
    SIZES.into_iter().filter_map(read).find(|launched| launched.size > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_processes_are_known_by_their_launcher() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> = set.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            launched(|name| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "x")]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]).unwrap().size, 4);
        // a job of one process in a step of several tasks
        assert_eq!(of(&[("PMI_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "8")]).unwrap().by, "by SLURM's srun");
    }
}
