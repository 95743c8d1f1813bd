package main

import (
	"os"
	"testing"
)

// The committed functions are those that the header and the table give.
func TestCurrent(t *testing.T) {
	want, err := generate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../c/calls.c")
	if err != nil || string(got) != want {
		t.Errorf("c/calls.c is old: run go generate ./test/gpusim/lib (%v)", err)
	}
}
