"""segdata: street-scene datasets to sharded webdatasets, and the reader of these shards."""
