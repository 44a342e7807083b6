//! Devices of the ranks: each step waits for the slowest.

/// The numbers of some ranks.
fn list(ranks: &[usize]) -> String {
    ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns what slows the ranks down, given the GPU of each; empty for the CPU.
pub(super) fn warning(gpus: &[String]) -> Option<String> {
    let with = |gpu: &str| -> Vec<usize> { (0..gpus.len()).filter(|&rank| gpus[rank] == gpu).collect() };
    let on_cpu = with("");
    if !on_cpu.is_empty() && on_cpu.len() < gpus.len() {
        let ranks = list(&on_cpu);
        return Some(format!(
            "some ranks compute on the CPU ({ranks}), the others on GPUs, which wait for them: --device webgpu says why there is none"
        ));
    }
    let shared = gpus.iter().find(|gpu| !gpu.is_empty() && with(gpu).len() > 1)?;
    let ranks = list(&with(shared));
    Some(format!("ranks {ranks} share one GPU ({shared}): start no more ranks on a machine than it has GPUs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(gpus: &[&str]) -> Option<String> {
        warning(&gpus.iter().map(|&gpu| gpu.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn ranks_that_share_a_gpu_are_named() {
        assert_eq!((of(&["a, on x", "a, on y"]), of(&["", ""]), of(&["a"])), (None, None, None));
        let shared = of(&["a, on x", "b, on x", "a, on x"]).unwrap();
        assert!(shared.contains("ranks 0, 2 share one GPU (a, on x)"), "{shared}");
        let mixed = of(&["a, on x", ""]).unwrap();
        assert!(mixed.contains("on the CPU (1)"), "{mixed}");
    }
}
