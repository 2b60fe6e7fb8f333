package ask

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	names := []string{"netns", "vrf"}
	for _, test := range []struct {
		output string
		want   []Values
	}{
		{"", nil},
		{"noise\n", nil},
		{"openrc-netns\x00netns=a\nb\x00vrf\x00openrc-netns\x00", []Values{{"netns": "a\nb"}}},
		{"noiseopenrc-netns\x00netns=\x00vrf=x=y\x00openrc-netns\x00more", []Values{{"netns": "", "vrf": "x=y"}}},
		{"openrc-netns\x00netns\x00vrf\x00openrc-netns\x00 x openrc-netns\x00netns=a\x00vrf\x00openrc-netns\x00", []Values{{}, {"netns": "a"}}},
		{"openrc-netns\x00netns\x00vrf\x00", nil},
		{"openrc-netns\x00netns\x00", nil},
		{"openrc-netns\x00vrf\x00netns\x00openrc-netns\x00", nil},
	} {
		if diff := cmp.Diff(test.want, parse([]byte(test.output), names)); diff != "" {
			t.Errorf("%q: %s", test.output, diff)
		}
	}
}
