"""Where do BERT and the vision transformer keep their parts?"""

from dataclasses import replace

from causalmi.models.family import Family

BERT_MASKED = Family(
    name="BERT",
    blocks="bert.encoder.layer",
    embed="bert.embeddings.word_embeddings",
    final_norm=None,
    head=("cls.predictions.transform", "cls.predictions.decoder"),
    attention="attention.self",
    attn_norm="attention.output.LayerNorm",
    q="attention.self.query",
    k="attention.self.key",
    v="attention.self.value",
    o="attention.output.dense",
    attn_out="attention.output.dense",
    mlp_norm="output.LayerNorm",
    mlp_down="output.dense",
    mlp_out="output.dense",
    mlp_in="intermediate",
    post_norm=True,
    causal=False,
    cache=None,
    where={"is_decoder": (False,)},
)

BERT_CLASSIFIER = replace(
    BERT_MASKED, name="BERT classifier", head=("bert.pooler.dense", "bert.pooler.activation", "classifier"), readout=0
)

VIT = Family(
    name="ViT",
    blocks="vit.layers",
    embed="vit.embeddings",
    final_norm="vit.layernorm",
    head=("classifier",),
    attention="attention",
    attn_norm="layernorm_before",
    q="attention.q_proj",
    k="attention.k_proj",
    v="attention.v_proj",
    o="attention.o_proj",
    attn_out="attention.o_proj",
    mlp_norm="layernorm_after",
    mlp_down="mlp.fc2",
    mlp_out="mlp",
    causal=False,
    cache=None,
    readout=0,
    pixels=True,
)
