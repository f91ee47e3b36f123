"""The world of curlew-tiny: every sentence it ever reads is made here, by grammar, from a seed."""
