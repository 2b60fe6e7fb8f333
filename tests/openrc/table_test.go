package openrc

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// A row of the table is a scene that is played on every OpenRC with every
// shell: a transcript, or what is none. It finds a machine with the namespace
// vpn and nothing running, and has stopped what it started when it returns.
type row struct {
	name string
	file string
	play func(t *testing.T, h *host)
}

var scenes = append(transcripts(), []row{
	{name: "netns_lock, on the service's cgroup", play: locked},
	{name: "one service, one view", play: oneView},
	{name: "no setting: outside, no fork or exec more", play: noTax},
	{name: "no setting: nothing that librc parses", play: noSettings},
	{name: "no setting: few system calls more", play: fewCalls},
	{name: "library missing or of another version", play: lostLibrary},
	{name: "dependencies: asked once, not once a service", play: flatUpdate},
	{name: "an OpenRC that is not known", play: unknownOpenRC},
}...)

var (
	releases  = []string{"bookworm", "trixie", "sid"}
	binShells = []string{"dash", "bash", "busybox"}
	shellOf   = map[string]string{"bookworm": "bash", "trixie": "dash", "sid": "busybox"} // for a test that takes a shell as it comes
)

// openRCs are each release, and sid with each shell.
var openRCs = map[string]machine.Options{
	"bookworm": {Release: "bookworm"}, "trixie": {Release: "trixie"}, "sid": {},
	"sid, bash": {Shell: "bash"}, "sid, busybox": {Shell: "busybox"},
}

// columns are the OpenRCs and shells that the scenes have been played on.
var (
	columns     []*column
	columnsLock sync.Mutex
)

type column struct {
	openrc, shell string
	special       string            // what else there is to it
	cells         map[string]string // by the name of the scene
}

func TestTable(t *testing.T) {
	t.Parallel()
	play := func(name, special string, options machine.Options, prepare string, turn int) {
		c := &column{special: special, cells: map[string]string{}}
		columns = append(columns, c)
		t.Run(name, func(t *testing.T) {
			if prepare != "" {
				kit.Whole(t)
			}
			t.Parallel()
			playAll(t, options, prepare, c, turn)
		})
	}
	for r, release := range releases {
		for s, shell := range binShells {
			play(release+"/"+shell, "", machine.Options{Release: release, Shell: shell}, "", s-r)
		}
	}
	play("sid/busybox_alone", "alone", alone, "", 1)
	play("sid/service_loaded", "patched", machine.Options{Release: "sid", Shell: "dash"}, upstream(t), 0)
}

// upstream is a script that patches OpenRC as docs/upstream.md says, and has it
// take back what a drop-in makes of sourcex.
func upstream(t *testing.T) string {
	t.Helper()
	_, patch, _ := strings.Cut(kit.Read(t, "../../docs/upstream.md"), "```diff\n")
	patch, _, found := strings.Cut(patch, "```")
	if !found {
		t.Fatal("docs/upstream.md has no patch")
	}
	return `cd /usr/lib/rc/sh; busybox patch -p1 openrc-run.sh <<'end'
` + strings.ReplaceAll(patch, "@LIBEXECDIR@", "/usr/lib/rc") + `end
		{ sed -n '/^sourcex()/,/^}/p' openrc-run.sh; } >/run/sourcex
		sed -i '/^unset _c _f _conf_d$/r /run/sourcex' openrc-run.sh; rm /run/sourcex; sh -n openrc-run.sh`
}

// playAll plays the scenes one after the other on one machine, and on a new one
// after each failure. In a short run it plays a third, whose turn it is, so that
// each row meets each release and each shell once.
func playAll(t *testing.T, options machine.Options, prepare string, c *column, turn int) {
	stage := newStage(t, options, prepare)
	columnsLock.Lock()
	version := strings.Fields(stage.Sh("openrc --version"))
	c.openrc, c.shell = version[len(version)-1], stage.Sh("basename $(readlink /bin/sh)")
	columnsLock.Unlock()
	for i, s := range scenes {
		if testing.Short() && (i+turn)%3 != 0 {
			continue
		}
		cell := "" // go test -run wants others
		passed := t.Run(s.name, func(t *testing.T) {
			cell = cellFail
			h := stage.with(t)
			if s.play != nil {
				s.play(t, h)
			} else {
				playTranscript(t, h, options, s.file, func(why string) { cell = why })
			}
			same(t, "the scene", h, stage.empty)
		})
		if cell == cellFail {
			if passed {
				cell = cellOK
				stage.reset()
			} else {
				stage = newStage(t, options, prepare)
			}
		}
		columnsLock.Lock()
		c.cells[s.name] = cell
		columnsLock.Unlock()
	}
}

// Cells of scenes that were played. Other ones say why they cannot be there.
const (
	cellOK   = "ok"
	cellFail = "FAIL"
)

// stage is a machine that can be set back.
type stage struct {
	*host
	empty string // the traces of services when none runs
}

// kept are the files that scenes write, as they were.
const kept = "/root/etc"

func newStage(t *testing.T, options machine.Options, prepare string) stage {
	t.Helper()
	h := bootRelease(t, options, true)
	h.Sh(prepare)
	h.Sh("mkdir " + kept + "; cp -a /etc/conf.d /etc/init.d /etc/rc.conf /etc/resolv.conf /etc/runlevels " + kept)
	return stage{h, traces(h)}
}

// reset sets back what a scene may change: files of /etc, names of namespaces,
// and notes about what ran.
func (s stage) reset() {
	s.T.Helper()
	s.Sh(`cd /etc && rm -rf conf.d init.d netns runlevels && cp -a ` + kept + `/* . && rm -f /run/trace.* /run/openrc/deptree
		for name in $(ls /run/netns); do ip netns delete $name; done; ip netns add vpn`)
}

// same fails the test if the traces of services are not what they were.
func same(t testing.TB, what string, h *host, before string) {
	t.Helper()
	after := ""
	if !soon(func() bool { after = traces(h); return after == before }) {
		t.Errorf("%s left something (+) or took something (-):\n%s", what, cmp.Diff(before, after))
	}
}

// soon reports whether something comes true while there is patience.
func soon(happens func() bool) bool {
	const patience = time.Minute
	for deadline := time.Now().Add(patience); !happens(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// traces are what services leave in a machine while they run, and must not
// when they are stopped. (Of cgroup v1 OpenRC leaves it to the kernel to remove
// what is empty.)
func traces(h *host) string {
	h.T.Helper()
	return h.Sh(`echo processes; ps -eo sid=,stat=,args= | awk -v own=$(ps -o sid= -p $$) '$1 != own && $2 !~ /^Z/ { $1 = $2 = ""; print }' | sort
		echo mounts; cut -d' ' -f4- /proc/self/mountinfo | sed '/ \/run\/netns\//d; s/shared:[0-9]*/shared/'
		echo cgroups; find /sys/fs/cgroup -path /sys/fs/cgroup/openrc -prune -o -type d -print | sort
		echo devices; ip -o link | cut -d' ' -f2
		echo services; cd /run/openrc; find started starting stopping inactive wasinactive failed hotplugged scheduled options daemons -mindepth 1 | sort; find ../openrc-netns 2>/dev/null | sort
		cat softlevel; ls -d rc.starting rc.stopping interactive 2>/dev/null; ls /tmp /var/tmp /usr/lib/rc/sh`)
}

// table is what has been seen, or nothing if no scene was played.
func table() string {
	var out bytes.Buffer
	var notes []string
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	line := func(name string, cell func(*column) string) (empty bool) {
		empty = true
		text := name
		for _, c := range columns {
			empty = empty && cell(c) == ""
			text += "\t" + cell(c)
		}
		if !empty {
			fmt.Fprintln(w, text)
		}
		return empty
	}
	line("OpenRC", func(c *column) string { return c.openrc })
	line("/bin/sh", func(c *column) string { return c.shell })
	line("", func(c *column) string { return c.special })
	played := false
	for _, s := range scenes {
		empty := line(s.name, func(c *column) string {
			why := c.cells[s.name]
			if why == "" || why == cellOK || why == cellFail {
				return why
			}
			if !slices.Contains(notes, why) {
				notes = append(notes, why)
			}
			return fmt.Sprintf("none [%d]", slices.Index(notes, why)+1)
		})
		played = played || !empty
	}
	if !played {
		return ""
	}
	w.Flush()
	if testing.Short() {
		out.WriteString("blank: played by make test-all\n")
	}
	for i, note := range notes {
		fmt.Fprintf(&out, "[%d] %s\n", i+1, note)
	}
	return out.String()
}

// printTable prints the table; into the file that OPENRC_NETNS_TABLE names, as
// go test does not show what a package prints when it passes.
func printTable() error {
	text := table()
	if name := os.Getenv("OPENRC_NETNS_TABLE"); name != "" {
		return os.WriteFile(name, []byte(text), 0o644)
	}
	_, err := os.Stdout.WriteString(text)
	return err
}
