package openrc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// migrateReport is what "rc-netns migrate --json" prints, as its manual has it.
type migrateReport struct {
	Version  int
	Patched  bool `json:"alpine_patches"`
	Services []struct {
		Name, Netns, VRF string
		ToDo             bool `json:"to_do"`
		Entries          []migrateLine
		Before, After    []string
		Settings         []struct{ Path, Text string }
		Edits            []struct {
			Path         string
			Line         int
			Before, Text string
		}
		Remarks []struct {
			ID     string
			ByHand bool `json:"by_hand"`
			Where  migrateLine
			What   string
		}
	}
}

type migrateLine struct {
	Path string
	Line int
	Text string
}

// migrate asks for a service, and makes sure that text and JSON say the same.
func (h *host) migrate(service string, status int) migrateReport {
	h.T.Helper()
	out, text := h.Run("rc-netns migrate --json "+service), h.Run("rc-netns migrate "+service)
	if out.Code != status || text.Code != status {
		h.T.Fatalf("status %d with --json, %d without, want %d:\n%s", out.Code, text.Code, status, text.Output)
	}
	var r migrateReport
	decoder := json.NewDecoder(strings.NewReader(out.Stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		h.T.Fatalf("%v in:\n%s", err, out.Output)
	}
	for _, s := range r.Services {
		for _, e := range s.Edits {
			kit.Contains(h.T, text.Stdout, "- "+e.Before+"\n")
			kit.Contains(h.T, text.Stdout, "+ "+e.Text)
		}
		for _, c := range slices.Concat(s.Before, s.After) {
			kit.Contains(h.T, text.Stdout, c+"\n")
		}
		for _, remark := range s.Remarks {
			kit.Contains(h.T, text.Stdout, "["+remark.ID+"]")
		}
	}
	return r
}

// follow does what it says of a service, word for word.
func (h *host) follow(service string) {
	h.T.Helper()
	r := h.migrate(service, 1)
	if len(r.Services) != 1 {
		h.T.Fatalf("%d services", len(r.Services))
	}
	s := r.Services[0]
	for _, remark := range s.Remarks {
		if remark.ByHand {
			h.T.Errorf("%s: by hand: %s", service, remark.What)
		}
	}
	h.Sh("sleep 1") // OpenRC does not see what changes in the second in which it looked
	for _, command := range s.Before {
		h.Sh(command)
	}
	for _, setting := range s.Settings {
		text, _ := h.ReadFile(setting.Path)
		h.Write(setting.Path, text+setting.Text+"\n")
	}
	for _, e := range s.Edits {
		text, err := h.ReadFile(e.Path)
		lines := strings.Split(text, "\n")
		if err != nil || len(lines) < e.Line || lines[e.Line-1] != e.Before {
			h.T.Fatalf("%s:%d is not %q: %v\n%s", e.Path, e.Line, e.Before, err, text)
		}
		lines[e.Line-1] = e.Text
		h.Write(e.Path, strings.Join(lines, "\n"))
	}
	for _, command := range s.After {
		h.Sh(command)
	}
	if left := h.migrate(service, 0); left.Services[0].ToDo {
		h.T.Errorf("left: %+v", left)
	}
}

// movingBlocks are the code of a section of docs/moving.md.
func movingBlocks(t *testing.T, section string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/moving.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/moving.md has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	block := ""
	for line := range strings.Lines(rest + "\nend\n") {
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented:
			block += code
		case block != "" && strings.TrimSpace(line) == "":
			block += "\n"
		case block != "":
			blocks = append(blocks, strings.TrimRight(block, "\n")+"\n")
			block = ""
		}
	}
	return blocks
}

// runs asserts that the daemon of the service is in vpn.
func (h *host) runs(what string) {
	h.T.Helper()
	kit.Equal(h.T, what, h.where(h.daemon()), h.inside())
}

// docs/moving.md on "ip netns exec": each script runs before, becomes the one
// after by what rc-netns migrate says, and runs then.
func TestMovingFromIPNetnsExec(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	blocks := movingBlocks(t, "`ip netns exec` in init scripts")
	if len(blocks) != 7 {
		t.Fatalf("the section has %d blocks", len(blocks))
	}
	setting, scripts := blocks[0], blocks[1:]
	for i := 0; i < len(scripts); i += 2 {
		h.Write("/etc/init.d/web", scripts[i])
		conf := ""
		if strings.Contains(scripts[i], "$NETNS") {
			conf = "NETNS=vpn\n"
		}
		h.Write("/etc/conf.d/web", conf)
		makes := strings.Contains(scripts[i], "ip netns add")
		if makes {
			h.Sh("ip netns delete vpn")
		}
		h.Sh("rc-service web start")
		h.runs("before")
		h.follow("web")
		h.runs("after")
		script, _ := h.ReadFile("/etc/init.d/web")
		kit.Equal(t, "the script", script, scripts[i+1])
		written, _ := h.ReadFile("/etc/conf.d/web")
		kit.Equal(t, "the settings", written, conf+setting)
		kit.Contains(t, h.Sh("rc-netns status web"), "web      started  vpn    -    1          ok")
		if makes {
			kit.Equal(t, "netns.vpn", h.state("netns.vpn"), "started")
		}
		h.Sh("rc-service web stop")
		h.noDaemon()
	}
}

// docs/moving.md on Alpine's patches: the line stays, and what the script does
// besides is named.
func TestMovingFromAlpinesPatches(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", false)
	blocks := movingBlocks(t, "Alpine's patches")
	if len(blocks) != 5 {
		t.Fatalf("the section has %d blocks", len(blocks))
	}
	setting, before, forwarding, after, patched := blocks[0], blocks[1], blocks[2], blocks[3], blocks[4]
	patched = strings.ReplaceAll(patched, "/usr/libexec/rc/", "/usr/lib/rc/") // Debian's
	const forwards = "cat /proc/sys/net/ipv4/ip_forward; ip netns exec vpn cat /proc/sys/net/ipv4/ip_forward"
	h.Sh(alpinesPatches + "\nsysctl -q -w net.ipv4.ip_forward=0")
	h.Sh(patched)
	h.Write("/etc/init.d/web", before)
	h.Write("/etc/conf.d/web", setting)
	h.Sh("rc-service web start")
	h.runs("with the patches alone")
	kit.Equal(t, "forwarding outside, inside", h.Sh(forwards), "1\n0")
	h.Sh("rc-service web stop")

	if err := h.Install(installed); err != nil {
		t.Fatal(err)
	}
	r := h.migrate("web", 1)
	s := r.Services[0]
	if !r.Patched || len(s.Settings)+len(s.Edits)+len(s.Before) > 0 || s.Netns != "vpn" {
		t.Errorf("%+v", r)
	}
	var remarks []string
	for _, remark := range s.Remarks {
		remarks = append(remarks, remark.ID+" "+remark.Where.Text)
	}
	kit.Equal(t, "remarks", strings.Join(remarks, "\n"), "set-already netns=\"vpn\"\non-host sysctl -q -w net.ipv4.ip_forward=1")
	kit.Contains(t, h.Run("rc-netns migrate").Stdout, "web: to look at by hand (netns vpn)")

	h.Sh("sysctl -q -w net.ipv4.ip_forward=0; sleep 1")
	h.Write("/etc/init.d/forwarding", forwarding)
	h.Write("/etc/init.d/web", after)
	kit.Contains(t, h.Sh("rc-netns migrate web"), "web: stays (netns vpn)")
	h.Sh("rc-service web start")
	h.runs("with both")
	kit.Equal(t, "forwarding outside, inside", h.Sh(forwards), "1\n0")
	// The patch has not entered a second time.
	h.Sh("grep /sys/fs/cgroup /proc/$(pgrep -x sleeper)/mountinfo")
	h.Sh("rc-service web stop")

	h.Sh(withoutPatches)
	h.Fails(patched)
	h.Sh("rc-service web start")
	h.runs("without the patches")
	if h.migrate("web", 0).Patched {
		t.Error("the patches are said to be there")
	}
	h.Sh("rc-service web stop")
}

// alpinesPatches has OpenRC's shell files do what Alpine's patches do.
const alpinesPatches = `cd /usr/lib/rc/sh; mkdir /root/stock; cp -p openrc-run.sh start-stop-daemon.sh /root/stock
	sed -i 's/^# load service supervisor functions/[ -z "$netns" ] || RC_VRF_EXEC="ip netns exec $netns"\n&/' openrc-run.sh
	sed -i 's/eval start-stop-daemon --start/eval $RC_VRF_EXEC start-stop-daemon --start/' start-stop-daemon.sh
	grep -q RC_VRF_EXEC openrc-run.sh && grep -q RC_VRF_EXEC start-stop-daemon.sh`

const withoutPatches = "cp -p /root/stock/* /usr/lib/rc/sh"

// docs/moving.md on units of systemd, and on netifrc: what is there instead.
func TestMovingFromUnits(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	blocks := movingBlocks(t, "Units of systemd")
	maker, setting := blocks[len(blocks)-2], blocks[len(blocks)-1]
	h.Sh("ip netns delete vpn; ip link add eth1 type veth peer name peer; ln -s netns /etc/init.d/netns.vpn; ln -s daemon /etc/init.d/web; sleep 1")
	h.Sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; : >/etc/resolv.conf")
	h.Write("/etc/conf.d/netns.vpn", maker)
	h.Write("/etc/conf.d/web", setting)
	h.Write("/etc/conf.d/net", "netns_eth1=\"vpn\"\nnetns_lo=vpn\n")
	h.Sh("rc-netns check; rc-service web start")
	h.runs("the daemon")
	kit.Contains(t, h.Sh("ip -n vpn -br address show eth1"), "192.0.2.2/24")
	kit.Equal(t, "resolv.conf", h.Sh("nsenter -t $(pgrep -x sleeper) -m cat /etc/resolv.conf"), "nameserver 192.0.2.53")
	kit.Equal(t, "to migrate", h.Sh("rc-netns migrate"), "nothing to change: no service enters a network namespace or a VRF by other means")
	h.Sh("rc-service web stop; rc-service netns.vpn stop; ip link show eth1")
}

// No init script that is in use is said to be what it is not.
func TestMigrateOfScriptsInUse(t *testing.T) {
	t.Parallel()
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: release, Shell: "dash"}, true)
			all, err := filepath.Glob("testdata/init.d/*")
			if err != nil || len(all) < 15 {
				t.Fatal(all, err)
			}
			for _, script := range all {
				h.scripts(filepath.Base(script))
			}
			kit.Equal(t, "nothing", h.Sh("rc-netns migrate"), "nothing to change: no service enters a network namespace or a VRF by other means")
		})
	}
}
