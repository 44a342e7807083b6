"""Spreads `clipwright embed` over the nodes of a Ray cluster, and writes its embeddings as Parquet."""
