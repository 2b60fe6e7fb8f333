package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"openrc-netns/internal/finding"
)

// Nothing is found that there are no words for.
func TestEveryFindingHasWords(t *testing.T) {
	source, err := os.ReadFile("../../internal/finding/id.go")
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(` ID += "(.*)"`).FindAllStringSubmatch(string(source), -1)
	if len(ids) != len(wordings) {
		t.Errorf("%d findings, and words for %d", len(ids), len(wordings))
	}
	for _, id := range ids {
		f := finding.Finding{ID: finding.ID(id[1]), Args: []any{"a", "b", "c"}}
		if what(f) == id[1] || strings.Contains(what(f)+why(f)+do(f), "%!(BADINDEX") {
			t.Errorf("%s: %s; %s; %s", id[1], what(f), why(f), do(f))
		}
	}
}
