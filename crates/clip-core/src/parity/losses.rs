//! Losses and their gradients, against PyTorch.

use burn::tensor::TensorData;

use super::*;
use crate::device::cpu;
use crate::loss::{ContrastiveLoss, SigmoidLoss};
use crate::model::logits;

#[test]
fn losses_and_their_gradients() {
    let golden = Golden::open("models/losses.safetensors");
    let device = cpu().autodiff();
    for (kind, n) in [("clip", "n8"), ("clip", "n3"), ("siglip", "n8"), ("siglip", "n3")] {
        let get = |name: &str| golden.tensor(&name.replace("{n}", n).replace("{kind}", kind));
        let features = |name| {
            let (shape, values) = get(name);
            Tensor::<2>::from_data(TensorData::new(values, shape), &device).require_grad()
        };
        let scalar = |name: &str| Tensor::<1>::from_data(TensorData::new(get(name).1, [1]), &device).require_grad();
        let (image, text) = (features("{n}.image_embeds"), features("{n}.text_embeds"));
        let (scale, bias) = (scalar("{n}.logit_scale"), scalar("{n}.logit_bias"));
        let plain = logits(image.clone(), text.clone(), scale.clone());
        let loss = match kind {
            "clip" => ContrastiveLoss::default().forward(plain),
            _ => SigmoidLoss::default().forward(plain + bias.clone().unsqueeze::<2>()),
        };
        assert!(max_error(&values(loss.clone().inner()), &get("{kind}.{n}.loss").1) < 1e-5, "{kind} {n}");
        let grads = loss.backward();
        let mut pairs = vec![
            ("{kind}.{n}.grad_image", values(image.grad(&grads).unwrap())),
            ("{kind}.{n}.grad_text", values(text.grad(&grads).unwrap())),
            ("{kind}.{n}.grad_logit_scale", values(scale.grad(&grads).unwrap())),
        ];
        if kind == "siglip" {
            pairs.push(("{kind}.{n}.grad_logit_bias", values(bias.grad(&grads).unwrap())));
        }
        for (name, got) in pairs {
            let (_, expected) = get(name);
            let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(max_error(&got, &expected) <= 1e-4 * largest, "{kind} {n} {name}");
        }
    }
}
