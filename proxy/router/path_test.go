package router

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGroupPaths(t *testing.T) {
	got := groupPaths([]string{"/one", "~/b", "/four", "/two", "~/a", "/fo/r"})
	want := [][]string{{"/one", "/two"}, {"~/b", "~/a"}, {"/four", "/fo/r"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
