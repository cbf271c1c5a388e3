"""What a study is and how to reach the servers that hold it: domain values and clients shared by all components."""
