# Of the output of `go test -v`: what the tests that failed said, each as a whole, and those
# that never ended, with what came last.
/^=== / {
	top = $3
	sub("/.*", "", top)
	open[top] = 1
	if ($2 == "RUN")
		said[top] = said[top] "    " $3 "\n"
	next
}
/^--- / {
	failed = $2 == "FAIL:"
	delete open[$3]
	if (failed)
		printf "%s\n%s", $0, said[$3]
	top = ""
	next
}
/^ +--- / { # of parts, after the whole
	if (failed)
		print
	next
}
{ said[top] = said[top] $0 "\n" }
END {
	for (t in open)
		printf "--- NO END: %s\n%s", t, said[t]
	printf "%s", said[""]
}
