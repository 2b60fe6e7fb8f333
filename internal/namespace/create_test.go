package namespace

import (
	"strings"
	"testing"
)

func TestHasNamespace(t *testing.T) {
	const config = `# vpn:
defaults:
  vpn: no
interfaces:
- name: eth0
  link:
    state: up
namespaces:

  # old:
  vpn:
    interfaces:
    - name: wg0
      inner: 1
  "my lan":
    interfaces: []
parameters:
  outer:
    x: y
`
	for name, want := range map[string]bool{
		"vpn": true, "my lan": true, "old": false, "interfaces": false, "inner": false, "outer": false, "eth0": false, "defaults": false,
	} {
		if got := hasNamespace(strings.NewReader(config), name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if hasNamespace(strings.NewReader("ifstate:\n  vpn:\n"), "vpn") {
		t.Error("a key of another section is a namespace")
	}
}
