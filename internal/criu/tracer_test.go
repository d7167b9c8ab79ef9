package criu

import (
	"os"
	"testing"
)

func TestTraced(t *testing.T) {
	for text, want := range map[string]int{
		"Name:\tsh\nTracerPid:\t0\nUid:\t0\n": 0, "Name:\tsh\nTracerPid:\t17\nUid:\t0\n": 17, "Name:\tTracerPid:\t5\n": 0, "": 0, "\nTracerPid:": 0,
	} {
		if got := traced(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if err := Await(t.Context(), os.Getpid()); err != nil { // no criu is at work on the test
		t.Error(err)
	}
}
