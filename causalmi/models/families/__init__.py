"""Which families of transformers are known? Their tables, by the model_type of a Hugging Face configuration."""

from dataclasses import replace

from causalmi.models.families.encoders import BERT_CLASSIFIER, BERT_MASKED, VIT
from causalmi.models.families.gemma import GEMMA2, GEMMA3
from causalmi.models.families.parallel import GPT_NEOX, GPT_NEOX_SEQUENTIAL, GPTJ, PHI
from causalmi.models.families.sequential import GPT2, LLAMA, OPT, OPT_POST_NORM, REFERENCE
from causalmi.models.family import Family

HUGGING_FACE: dict[str, tuple[Family, ...]] = {
    "gpt2": (GPT2,),
    "gpt_neox": (GPT_NEOX, GPT_NEOX_SEQUENTIAL),
    "gptj": (GPTJ,),
    "opt": (OPT, OPT_POST_NORM),
    "llama": (LLAMA,),
    "mistral": (replace(LLAMA, name="Mistral"),),
    "qwen2": (replace(LLAMA, name="Qwen 2"),),
    "qwen3": (replace(LLAMA, name="Qwen 3", qk_norm=("self_attn.q_norm", "self_attn.k_norm")),),
    "gemma2": (GEMMA2,),
    "gemma3_text": (GEMMA3,),
    "phi": (PHI,),
    "bert": (BERT_MASKED, BERT_CLASSIFIER),
    "vit": (VIT,),
}

__all__ = ["HUGGING_FACE", "REFERENCE"]
