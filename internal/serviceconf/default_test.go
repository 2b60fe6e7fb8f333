package serviceconf

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The drop-in decides, and this package has to know.
func TestExemptAsTheDropIn(t *testing.T) {
	text, err := os.ReadFile("../../openrc/50-netns.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "\tcase \"$RC_SVCNAME\" in\n")
	list, _, ended := strings.Cut(list, "\tesac\n")
	if !found || !ended {
		t.Fatal("the drop-in has no list")
	}
	var want []string
	for line := range strings.Lines(list) {
		patterns, found := strings.CutSuffix(strings.TrimSpace(line), ") return ;;")
		if !found {
			t.Fatalf("what is this: %q", line)
		}
		want = append(want, strings.Split(patterns, " | ")...)
	}
	var got []string
	for _, patterns := range exempt {
		got = append(got, strings.Fields(patterns)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("exempt are %q, to the drop-in %q", got, want)
	}
}
