package namespace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Remedies name no command that the machine does not have.
func TestCommandsOfTheMachine(t *testing.T) {
	old := programs
	t.Cleanup(func() { programs = old })
	const ip = "[ip netns add vpm] [[ip netns delete vpm]]"
	const busybox = "[rc-netns up vpm] [[umount /run/netns/vpm] [rm /run/netns/vpm]]"
	for name, test := range map[string]struct {
		files map[string]string // what each is a link to
		want  string
	}{
		"no ip":                      {nil, busybox},
		"iproute2's":                 {map[string]string{"sbin/ip": "", "bin/busybox": ""}, ip},
		"a symbolic link to busybox": {map[string]string{"bin/busybox": "", "sbin/ip": "symlink"}, busybox},
		"a hard link to busybox":     {map[string]string{"bin/busybox": "", "sbin/ip": "link"}, busybox},
		"both":                       {map[string]string{"bin/busybox": "", "sbin/ip": "symlink", "usr/sbin/ip": ""}, ip},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			programs = nil
			for _, dir := range []string{"usr/sbin", "sbin", "bin"} {
				programs = append(programs, filepath.Join(root, dir))
				if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, kind := range []string{"", "link", "symlink"} {
				for file, is := range test.files {
					if is != kind {
						continue
					}
					busybox, path, err := filepath.Join(root, "bin/busybox"), filepath.Join(root, file), error(nil)
					switch kind {
					case "link":
						err = os.Link(busybox, path)
					case "symlink":
						err = os.Symlink(busybox, path)
					default:
						err = os.WriteFile(path, nil, 0o755)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := fmt.Sprint(CreateCommand("vpm"), " ", DeleteCommands("vpm")); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

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
