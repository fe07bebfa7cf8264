"""From kept files to token shards: tokenizer, order inside a repository, packing."""
