"""Speed, memory and scores of networks. What converts or reads shards belongs in `data`."""
