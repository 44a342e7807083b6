//! OpenCLIP's flags that have no equal here: none is ignored in silence.

/// A flag, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("--imagenet-val", "zero-shot evaluation during training is not there yet: evaluate on pairs by --val-data"),
    ("--imagenet-v2", "zero-shot evaluation during training is not there yet: evaluate on pairs by --val-data"),
    ("--zeroshot-frequency", "zero-shot evaluation during training is not there yet: evaluate on pairs by --val-data"),
    ("--train-num-samples", "all pairs of the shards are read: leave it out"),
    ("--val-num-samples", "all pairs of the shards are read: leave it out"),
    ("--dataset-resampled", "each epoch takes every pair once: leave it out"),
    ("--train-data-upsampling-factors", "name a source several times in --train-data, separated by ::"),
    ("--aug-cfg", "use --augment, --augment-scale and --augment-flip"),
    ("--local-loss", "it shares the loss among processes, and there is one: leave it out"),
    ("--gather-with-grad", "it joins several processes, and there is one: leave it out"),
    ("--dist-url", "one process trains: leave it out"),
    ("--dist-backend", "one process trains: leave it out"),
    ("--horovod", "one process trains: leave it out"),
    ("--ddp-static-graph", "one process trains: leave it out"),
    ("--use-bn-sync", "one process trains: leave it out"),
    ("--fsdp", "one process trains: leave it out"),
    ("--torchcompile", "kernels are compiled already: leave it out"),
    ("--torchscript", "kernels are compiled already: leave it out"),
    ("--trace", "kernels are compiled already: leave it out"),
    ("--force-quick-gelu", "name the model with -quickgelu, as ViT-B-32-quickgelu"),
    ("--force-image-size", "set vision.imageSize in the config file"),
    ("--force-context-length", "set text.contextLength in the config file"),
    ("--siglip", "set objective = \"sigmoid\" in the config file"),
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
