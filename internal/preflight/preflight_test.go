package preflight

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/openrc"
)

func TestAssignLeavesTheRestOfTheLine(t *testing.T) {
	for _, test := range []struct{ line, name, value, want string }{
		{"netns=vpn", "netns", "web", "netns=web"},
		{"netns=", "netns", "web", "netns=web"},
		{"netns='a b' # why", "netns", "web", "netns=web # why"},
		{`export netns="vpn"`, "netns", "web", "export netns=web"},
		{"\tx=1\tnetns=vpn\ty=2", "netns", "web", "\tx=1\tnetns=web\ty=2"},
		{"netns=a netns=b", "netns", "web", "netns=a netns=web"},
		{"mynetns=a netns=b", "netns", "web", "mynetns=a netns=web"},
		{"netns_hide='/a /b' netns=vpn", "netns_hide", "/a /c", `netns_hide="/a /c" netns=vpn`},
		{"", "netns", "web", "netns=web"},
		{"netns_hide='/$a /b'", "netns_hide", "/$a", "netns_hide='/$a'"},
		{"netns_hide=/a", "netns_hide", "/it's /b", `netns_hide="/it's /b"`},
	} {
		if got := assign(test.line, test.name, test.value); got != test.want {
			t.Errorf("assign(%q, %q, %q) = %q, want %q", test.line, test.name, test.value, got, test.want)
		}
	}
	for line, want := range map[string]string{
		"netns=vpn": "", "export netns=vpn": "", "x=1 netns='vpn' y=2": "x=1 y=2", "netns=vpn # why": "# why",
	} {
		if got := without(line, "netns"); got != want {
			t.Errorf("without(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestNearestIsAMistakeAway(t *testing.T) {
	for name, want := range map[string]string{
		"netns_hid": "netns_hide", "netns_ect": "netns_etc", "netns_locks": "netns_lock", "netns_interface": "netns_interfaces",
		"netns_hide": "", "netns_table": "", "netn": "", "vfr": "", "NETNS_HIDE": "",
	} {
		if got := nearestSetting(name); got != want {
			t.Errorf("nearestSetting(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"ssdh": "sshd", "sshd": "", "ssh": "sshd", "x": "", "nginx": ""} {
		if got := nearest(name, []string{"a", "sshd", "dnsmasq"}); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// netifrc has variables that begin like settings of ours.
func TestNetifrcsVariablesAreItsOwn(t *testing.T) {
	for file, want := range map[string]int{"/etc/conf.d/net": 0, "/etc/conf.d/net.eth0": 0, "/etc/conf.d/network": 1, "/etc/conf.d/web": 1} {
		var found Found
		found.checkSpelling(file, []confd.Assignment{{Name: "netns_eth0", Value: "vpn", Line: 1}})
		if len(found.Findings) != want {
			t.Errorf("%s: %v", file, found.Findings)
		}
	}
}

// The drop-in, its library and this package know each other by one word, and
// the library's files are those that are looked for.
func TestVersionsAgree(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile("../../openrc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := versionIn(read("50-netns.conf")); got != openrc.Protocol {
		t.Errorf("the drop-in is of version %q, want %q", got, openrc.Protocol)
	}
	if want := "exec --protocol " + openrc.Protocol + " "; !strings.Contains(read("service.sh"), want) {
		t.Errorf("service.sh does not say %q", want)
	}
	files, err := filepath.Glob("../../openrc/*.sh")
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		files[i] = filepath.Base(file)
		// In the last line: a file that was cut off has none.
		if want := "\n" + libraryVersion + openrc.Protocol + "\n"; !strings.HasSuffix(read(files[i]), want) {
			t.Errorf("%s does not end in %q", file, want)
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(library)), files); diff != "" {
		t.Errorf("the library (-looked for +there):\n%s", diff)
	}
}

// The shell hands over the settings that Go knows.
func TestSettingsAgree(t *testing.T) {
	text, err := os.ReadFile("../../openrc/service.sh")
	if err != nil {
		t.Fatal(err)
	}
	if want := `_netns_names="` + strings.Join(openrc.Names, " ") + "\"\n"; !strings.Contains(string(text), want) {
		t.Errorf("service.sh does not say %s", want)
	}
}
