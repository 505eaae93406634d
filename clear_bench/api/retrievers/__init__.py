"""What finds passages: one file for each kind of retriever, their protocol, and the function that opens one."""
