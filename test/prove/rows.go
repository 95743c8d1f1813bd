package main

// row is one promise. A row without a command is open, with the reason in Open.
type row struct {
	ID, Promise, Command, Bar string
	// CI marks what fits into the time of .ci/run.
	CI   bool
	Open string
}

func e2e(run string) string {
	return "go test -tags e2e -count 1 -timeout 40m -v -run '^" + run + "$' ./test/e2e"
}
