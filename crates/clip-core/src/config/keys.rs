//! Known keys of published configs. [`super::hf`] and [`super::open_clip`] read or refuse those that change the model; the others
//! here have no effect at inference. Unknown keys give a warning.

use serde_json::Value;

use super::Format;

/// Fields of `CLIPConfig`, `SiglipConfig` and their towers: of transformers 5 and, for generation, of 4. Initialisation, dropout and
/// the form of outputs do not change embeddings.
const HF: &str = "
    architectures attention_dropout bos_token_id dropout eos_token_id hidden_act hidden_size image_size initializer_factor
    initializer_range intermediate_size layer_norm_eps logit_scale_init_value max_position_embeddings model_type
    num_attention_heads num_channels num_hidden_layers pad_token_id patch_size projection_dim projection_size
    text_config text_config_dict vision_config vision_config_dict vision_use_head vocab_size

    _attn_implementation _attn_implementation_autoset _auto_class _commit_hash _name_or_path add_cross_attention
    attn_implementation attribute_map auto_map bad_words_ids base_config_key base_model_ep_plan base_model_fsdp_plan
    base_model_pp_plan base_model_tp_plan begin_suppress_tokens chunk_size_feed_forward cross_attention_hidden_size
    decoder_start_token_id diversity_penalty do_sample dtype early_stopping encoder_no_repeat_ngram_size
    experts_implementation exponential_decay_length_penalty extra_config_files extra_files finetuning_task
    forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label is_decoder is_encoder_decoder label2id
    length_penalty max_length min_length name_or_path no_repeat_ngram_size num_beam_groups num_beams num_labels
    num_return_sequences output_attentions output_hidden_states output_scores per_layer_config prefix problem_type
    pruned_heads remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id
    sub_configs_defaults suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder
    tie_word_embeddings tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p use_bfloat16
    rope_scaling rope_theta use_cache";

/// Arguments of OpenCLIP's models.
const MODEL_CFG: &str = "
    embed_dim vision_cfg text_cfg quick_gelu init_logit_bias init_logit_scale nonscalar_logit_scale cast_dtype output_dict
    custom_text multimodal_cfg";

/// `CLIPVisionCfg`. Dropout and the form of outputs do not change embeddings.
const VISION_CFG: &str = "
    act_kwargs attentional_pool attn_pooler_heads attn_pooler_queries block_type final_ln_after_pool head_width image_size
    layers ls_init_value mlp_ratio no_ln_pre norm_kwargs output_tokens patch_dropout patch_size pool_type pos_embed_type
    qk_norm scale_attn scale_attn_inner scale_fc scale_heads scaled_cosine_attn timm_drop timm_drop_path timm_model_name
    timm_model_pretrained timm_pool timm_proj timm_proj_bias width";

/// `CLIPTextCfg`. [`crate::tokenizer`] reads the tokenizer's keys.
const TEXT_CFG: &str = "
    act_kwargs block_type context_length embed_cls eos_id final_ln_after_pool heads hf_model_name hf_model_pretrained
    hf_pooler_type hf_proj_type hf_tokenizer_name layers ls_init_value mlp_ratio no_causal_mask norm_kwargs output_tokens
    pad_id pool_type proj_bias proj_type qk_norm scale_attn scale_attn_inner scale_fc scale_heads scaled_cosine_attn
    tokenizer_kwargs tokenizer_mode vocab_size width";

/// Returns a warning for each unknown key. In clipwright's own format unknown keys are errors.
pub(crate) fn unknown_keys(config: &Value) -> Vec<String> {
    let groups: &[(&[&str], &str)] = if Format::of(config) == Format::Hf {
        &[(&[], HF), (&["vision_config"], HF), (&["text_config"], HF)]
    } else if config.get("model_cfg").is_some() {
        &[
            (&["model_cfg"], MODEL_CFG),
            (&["model_cfg", "vision_cfg"], VISION_CFG),
            (&["model_cfg", "text_cfg"], TEXT_CFG),
        ]
    } else if config.get("vision_cfg").is_some() {
        &[(&["vision_cfg"], VISION_CFG), (&["text_cfg"], TEXT_CFG)]
    } else {
        &[]
    };
    let mut unknown = Vec::new();
    for (path, known) in groups {
        let object = path.iter().try_fold(config, |value, key| value.get(key)).and_then(Value::as_object);
        for key in object.into_iter().flat_map(|object| object.keys()) {
            if !known.split_whitespace().any(|known| known == key) {
                let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                unknown.push(format!("config: {} is not known and was not used", path.join(".")));
            }
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_named_by_their_path() {
        for (config, unknown) in [
            (r#"{"model_type": "clip", "wobble": 1, "text_config": {"hidden_size": 8}}"#, vec!["wobble"]),
            (
                r#"{"vision_config": {"wobble": 1}, "text_config": {"jiggle": 2}}"#,
                vec!["vision_config.wobble", "text_config.jiggle"],
            ),
            (
                r#"{"model_cfg": {"vision_cfg": {"wobble": 1}}, "preprocess_cfg": {}}"#,
                vec!["model_cfg.vision_cfg.wobble"],
            ),
            (r#"{"vision_cfg": {"width": 8}, "text_cfg": {"wobble": 1}}"#, vec!["text_cfg.wobble"]),
            (r#"{"embedDim": 8}"#, vec![]),
        ] {
            let warnings = unknown_keys(&serde_json::from_str(config).unwrap());
            let expected: Vec<String> =
                unknown.iter().map(|path| format!("config: {path} is not known and was not used")).collect();
            assert_eq!(warnings, expected, "{config}");
        }
    }
}
