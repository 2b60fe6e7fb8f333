package preflight

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/internal/finding"
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
		"nents": "netns", "Netns": "netns", "netn": "netns", "vfr": "vrf", "NETNS_HIDE": "netns_hide", "netns-lock": "netns_lock",
		"netns": "", "netns_hide": "", "netns_table": "", "nest": "", "vf_": "", "rc_need": "",
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
	dir := t.TempDir()
	for name, want := range map[string]int{"net": 0, "net.eth0": 0, "network": 1, "web": 1} {
		if found := spelling(t, filepath.Join(dir, name), "netns_eth0=vpn\n"); len(found) != want {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// Lines that set nothing, and what was meant.
func TestSpelling(t *testing.T) {
	file := filepath.Join(t.TempDir(), "daemon")
	for line, want := range map[string]string{
		"nents=vpn": "outside netns=vpn", "x=1; NETNS='vpn'": "outside x=1; netns='vpn'", "netns_hdie=/x": "warning netns_hide=/x",
		"netns = vpn": "outside netns=vpn", "netns =vpn": "outside netns=vpn", "netns= vpn": "outside netns=vpn", "\tvrf: mgmt": "outside vrf=mgmt",
		"netns vpn # c": "outside netns=vpn", "Netns = 'vpn'": "outside netns='vpn'", "export netns = vpn": "outside netns=vpn",
		"netns_default = vpn": "outside netns_default=vpn", "\ufeffnetns=vpn": "outside netns=vpn", "netns-lock=yes": "",
		"netns=vpn": "", "netns=": "", "netns= # none": "", "netns=vpn x": "", "# netns = vpn": "", "netns() {": "", "nets=10.0.0.0/8": "outside netns=10.0.0.0/8",
		"echo netns": "", "NETNS=vpn; netns=web": "", "knets=10.0.0.0/8": "", "netnz = 1": "",
	} {
		got := ""
		for _, f := range spelling(t, file, line+"\n") {
			got += string(f.Gravity) + " " + f.Remedy.Edits[0].Text
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

// spelling is what is found in a file with that text, by a service whose script knows
// the variable netnz.
func spelling(t *testing.T, file, text string) []finding.Finding {
	t.Helper()
	script := filepath.Join(t.TempDir(), "script")
	for path, text := range map[string]string{file: text, script: "echo $netnz\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var found Found
	found.checkSpelling(file, script)
	return found.Findings
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
