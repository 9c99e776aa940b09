"""Label Studio as one more way in: campaigns are pushed there, judgements are pulled; Trivox keeps the record."""
