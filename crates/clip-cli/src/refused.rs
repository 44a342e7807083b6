//! OpenCLIP's flags that have no equal here: none is ignored in silence.

/// A flag, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("--imagenet-v2", "use --classify, which takes one folder"),
    ("--zeroshot-frequency", "use --val-frequency, which is that of retrieval, too"),
    ("--train-num-samples", "all pairs of the shards are read: leave it out"),
    ("--val-num-samples", "all pairs of the shards are read: leave it out"),
    ("--dataset-resampled", "each epoch takes every pair once: leave it out"),
    ("--train-data-upsampling-factors", "name a source several times in --train-data, separated by ::"),
    ("--aug-cfg", "use --augment, --augment-scale and --augment-flip"),
    ("--local-loss", "several processes always share the loss so: leave it out"),
    ("--gather-with-grad", "several processes always gather features so: leave it out"),
    ("--dist-url", "several processes find each other by MPI: start them by mpirun and leave it out"),
    ("--dist-backend", "several processes exchange numbers by MPI: start them by mpirun and leave it out"),
    ("--horovod", "several processes exchange numbers by MPI: start them by mpirun and leave it out"),
    ("--ddp-static-graph", "gradients are summed when the backward pass is over: leave it out"),
    ("--use-bn-sync", "the towers that are trained here have no batch norms: leave it out"),
    ("--fsdp", "each process holds all weights: leave it out"),
    ("--torchcompile", "kernels are compiled already: leave it out"),
    ("--torchscript", "kernels are compiled already: leave it out"),
    ("--trace", "kernels are compiled already: leave it out"),
    ("--force-quick-gelu", "name the model with -quickgelu, as ViT-B-32-quickgelu"),
    ("--force-image-size", "set vision.imageSize in the config file"),
    ("--force-context-length", "set text.contextLength in the config file"),
    (
        "--siglip",
        "set objective = \"sigmoid\" in [config] of the config file, which then has the model's shape in place of --model",
    ),
    ("--loss-dist-impl", "several processes always share the loss in one way: leave it out"),
    ("--no-set-device-rank", "all processes of a machine take the same GPU: leave it out"),
    ("--force-custom-text", "weights of both forms are read, and --export says which are written: leave it out"),
    (
        "--image-mean",
        "fresh models have CLIP's; that of a checkpoint is read: set image_mean in its preprocessor_config.json",
    ),
    (
        "--image-std",
        "fresh models have CLIP's; that of a checkpoint is read: set image_std in its preprocessor_config.json",
    ),
    (
        "--image-interpolation",
        "fresh models have bicubic; that of a checkpoint is read from its preprocessor_config.json",
    ),
    ("--image-resize-mode", "fresh models crop the shortest edge; that of a checkpoint is read from its files"),
    ("--momentum", "AdamW has --beta1 and --beta2, Muon --muon-momentum"),
    ("--opt-kwargs", "AdamW has --beta1, --beta2, --epsilon and --weight-decay"),
    ("--lock-text-freeze-layer-norm", "--lock text freezes the whole tower: leave it out"),
    ("--use-bnb-linear", "training in 8 bits is not supported"),
    ("--cache-dir", "nothing is downloaded: leave it out"),
    ("--log-local", "one process logs: leave it out"),
    ("--log-every-n-steps", "steps.csv has every step: leave it out"),
    ("--opt", "AdamW trains; --muon-lr has Muon train the blocks' matrices"),
    ("--skip-scheduler", "use --schedule constant --warmup 0"),
    ("--lr-cooldown-end", "use --schedule linear, or continue by --from with another schedule"),
    ("--lr-cooldown-power", "use --schedule linear, or continue by --from with another schedule"),
    ("--epochs-cooldown", "use --schedule linear, or continue by --from with another schedule"),
    ("--lock-image-unlocked-groups", "use --last-blocks"),
    ("--lock-text-unlocked-layers", "use --last-blocks"),
    ("--lock-image-freeze-bn-stats", "the towers that are trained here have no batch norms: leave it out"),
    ("--pretrained-image", "use --from with a checkpoint of both towers"),
    ("--save-most-recent", "the latest state is saved at each epoch, and by --save-steps: leave it out"),
    (
        "--delete-previous-checkpoint",
        "only the latest state is kept unless --save-frequency asks for more: leave it out",
    ),
    ("--wandb-notes", "steps.csv is written, and --json writes each step to stdout"),
    ("--wandb-project-name", "steps.csv is written, and --json writes each step to stdout"),
    ("--tensorboard", "use --report-to tensorboard"),
    ("--distill-model", "distillation is not supported"),
    ("--distill-pretrained", "distillation is not supported"),
    ("--coca-caption-loss-weight", "CoCa is not supported"),
    ("--coca-contrastive-loss-weight", "CoCa is not supported"),
    ("--remote-sync-frequency", "copy the folder of --logs by a program of its own, such as rclone"),
    ("--remote-sync-protocol", "copy the folder of --logs by a program of its own, such as rclone"),
    ("--remote-sync", "copy the folder of --logs by a program of its own, such as rclone"),
    ("--copy-codebase", "leave it out"),
    ("--debug", "use --json to see every step"),
];

/// Says what to do in place of a flag of OpenCLIP; `None` for other flags.
pub fn advice(flag: &str) -> Option<String> {
    let name = flag.split('=').next().unwrap_or(flag);
    let (name, instead) = REFUSED.iter().find(|(refused, _)| *refused == name)?;
    Some(format!("{name} is a flag of OpenCLIP that clipwright does not have: {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_advice_once() {
        for (i, (flag, _)) in REFUSED.iter().enumerate() {
            assert!(flag.starts_with("--") && REFUSED[..i].iter().all(|(other, _)| other != flag), "{flag}");
        }
        assert!(advice("--cache-dir=/tmp").unwrap().contains("nothing is downloaded"));
        assert_eq!(advice("--batchsize"), None);
    }
}
