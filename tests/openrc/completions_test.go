package openrc

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// shells are the real ones, each with a key that reports the command line and
// empties it.
var shells = map[string]struct{ file, text string }{
	"bash": {".bashrc", `
. /usr/share/bash-completion/bash_completion
PS1='ready> '
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind 'set bell-style none'
set -u
report() { printf '\n[[%s]]\n' "$READLINE_LINE"; READLINE_LINE= READLINE_POINT=0; }
bind -x '"\C-g": report'
`},
	"zsh": {".zshrc", `
autoload -U compinit
compinit -u
PS1='ready> '
LISTMAX=1000
bindkey -e
report() { zle -I; print -r -- "[[$BUFFER]]"; BUFFER= }
zle -N report
bindkey '^G' report
`},
	"fish": {".config/fish/config.fish", `
set -g fish_greeting
set -g fish_autosuggestion_enabled 0
function fish_prompt; echo 'ready> '; end
function report
	printf '\n[[%s]]\n' (commandline | string collect)
	commandline ''
	commandline -f repaint
end
bind \cg report
`},
}

// keystroke is what somebody types, and sees.
type keystroke struct {
	typed string   // what is typed before Tab
	left  int      // how far the cursor is moved back before Tab
	line  string   // what it becomes; as typed if empty
	lists []string // what is listed below it
	omits []string // and what is not
}

func TestCompletions(t *testing.T) {
	kit.Whole(t)
	eachOf(t, releases, func(t *testing.T, release string) {
		h := bootRelease(t, machine.Options{Release: release}, true)
		h.installCompletions()
		h.furnish()
		inEach(t, h, "root", func(s *terminal) {
			s.scene("namespaces", s.namespaces)
			s.scene("options", s.options)
			s.scene("a VRF before its namespace", func() { s.vrfBeforeNamespace(release) })
			s.scene("commands", s.commands)
			s.scene("rc-netns", s.rcNetns)
		})
		kit.Equal(t, "what a name has made the shells do", h.Sh("ls /root/ran /ran 2>/dev/null || true"), "")
		inEach(t, h, "someone", (*terminal).unprivileged)
		h.Sh("umount /run/netns/* /run/netns; rm -r /run/netns /etc/conf.d /etc/init.d")
		inEach(t, h, "root", (*terminal).nothingThere)
	})
}

// furnish makes what there is to complete.
func (h *host) furnish() {
	h.T.Helper()
	h.Sh(`ip netns add tunnel; ip netns add 'my vpn'; ip netns add 'it'\''s "x"'; ip netns add a:b
		ip netns add '$(touch ran)'; >/run/netns/-x; mount --bind /run/netns/vpn /run/netns/-x
		mkdir /root/tunnel
		cd /etc/init.d
		for service in web relay plain netns.lab; do
			printf '#!/sbin/openrc-run\n' >$service
			chmod 755 $service
		done
		ln -s relay relay.two
		>README
		echo netns=vpn >/etc/conf.d/web
		echo ' export vrf=mgmt' >/etc/conf.d/relay
		echo '# netns=vpn' >/etc/conf.d/plain
		echo someone:x:1000:1000::/home/someone:/bin/sh >>/etc/passwd
		echo someone:x:1000: >>/etc/group
		install -d -o 1000 -g 1000 /home/someone /home/someone/.config /home/someone/.config/fish`)
	// This kernel has no VRF devices. What the shells tell them by, flags, is
	// another file here, which can have any content: the alias, in the /sys of
	// the namespace.
	h.Sh(`ip link add mgmt type veth peer name blue netns vpn
		ip link add "v'rf" type veth peer name other netns vpn
		ip link set mgmt alias 0x481
		ip link set "v'rf" alias 0x481
		ip -n vpn link set blue alias 0x481
		mount -t tmpfs none /sys/class/net
		for device in mgmt "v'rf" blue other lo; do
			mkdir "/sys/class/net/$device"
			ln -s "/sys/devices/virtual/net/$device/ifalias" "/sys/class/net/$device/flags"
		done`)
}

func (s *terminal) namespaces() {
	s.press(
		keystroke{typed: "netns-exec tu", line: "netns-exec tunnel "},
		keystroke{typed: "netns-exec ", lists: []string{"vpn", "tunnel", "a:b", "my"}, omits: []string{"-x"}},
		keystroke{typed: "netns-exec my", line: `netns-exec my\ vpn `},
		keystroke{typed: `netns-exec "my`, line: `netns-exec "my vpn" `},
		keystroke{typed: `netns-exec 'my`, line: `netns-exec 'my vpn' `},
		keystroke{typed: `netns-exec my\ `, line: `netns-exec my\ vpn `},
		keystroke{typed: "netns-exec it", line: `netns-exec it\'s\ \"x\" `},
		keystroke{typed: `netns-exec it\'`, line: `netns-exec it\'s\ \"x\" `},
		keystroke{typed: "netns-exec '$", line: "netns-exec '$(touch ran)' "},
		keystroke{typed: "netns-exec a", line: `netns-exec a:b `},
		keystroke{typed: "netns-exec a:", line: "netns-exec a:b "},
		keystroke{typed: "netns-exec /proc/1/ns/ne", line: "netns-exec /proc/1/ns/net "},
		keystroke{typed: "netns-exec -nu nobody --lock tu", line: "netns-exec -nu nobody --lock tunnel "},
		keystroke{typed: "netns-exec --hide /srv --cgroup /x --lock tu", line: "netns-exec --hide /srv --cgroup /x --lock tunnel "},
		keystroke{typed: "netns-exec --lock --lock-keep mknod tu", line: "netns-exec --lock --lock-keep mknod tunnel "},
		keystroke{typed: "netns-exec --user=nobody:nogroup tu", line: "netns-exec --user=nobody:nogroup tunnel "},
	)
}

func (s *terminal) options() {
	s.press(
		keystroke{typed: "netns-exec --", lists: []string{"--service", "--user", "--etc", "--hide", "--vrf", "--lock", "--lock-keep", "--cgroup", "--dry-run", "--help", "--version"}},
		keystroke{typed: "netns-exec -", lists: []string{"-s", "-u", "-n", "-h", "-V"}},
		keystroke{typed: "netns-exec --hide /etc/conf", line: "netns-exec --hide /etc/conf.d/"},
		keystroke{typed: "netns-exec --dr", line: "netns-exec --dry-run "},
		keystroke{typed: "netns-exec --lock --dr", line: "netns-exec --lock --dry-run "},
		keystroke{typed: "netns-exec vpn --", line: "netns-exec vpn -- "},
		keystroke{typed: "netns-exec --lock --lock-keep ne", line: "netns-exec --lock --lock-keep net_admin "},
		keystroke{typed: "netns-exec --etc n", line: "netns-exec --etc none "},
		keystroke{typed: "netns-exec --etc=b", line: "netns-exec --etc=bind "},
		keystroke{typed: "netns-exec --user nobo", line: "netns-exec --user nobody "},
		keystroke{typed: "netns-exec -u nobo", line: "netns-exec -u nobody "},
		keystroke{typed: "netns-exec --user=nobo", line: "netns-exec --user=nobody "},
		keystroke{typed: "netns-exec -u nobody:nogr", line: "netns-exec -u nobody:nogroup "},
		keystroke{typed: "netns-exec --user=nobody:nogr", line: "netns-exec --user=nobody:nogroup "},
		keystroke{typed: "netns-exec --service w", line: "netns-exec --service web "},
		keystroke{typed: "netns-exec --service=w", line: "netns-exec --service=web "},
		keystroke{typed: "netns-exec -s ", lists: []string{"web", "relay", "relay.two"}, omits: []string{"plain", "netns.lab", "README"}},
		keystroke{typed: "netns-exec --vrf mg", line: "netns-exec --vrf mgmt "},
		keystroke{typed: "netns-exec --vrf=mg", line: "netns-exec --vrf=mgmt "},
		keystroke{typed: "netns-exec --vrf v", line: `netns-exec --vrf v\'rf `},
		keystroke{typed: "netns-exec --vrf ", lists: []string{"mgmt", "rf"}, omits: []string{"blue", "other", "lo"}},
		keystroke{typed: "netns-exec --service web --vrf mg"},
	)
}

func (s *terminal) vrfBeforeNamespace(release string) {
	if s.shell == "fish" && release != "trixie" {
		// Of these, only fish 4.0 shows what stands after the cursor.
		s.press(keystroke{typed: "netns-exec --vrf m vpn", left: 4, line: "netns-exec --vrf mgmt vpn"})
		return
	}
	s.press(
		keystroke{typed: "netns-exec --vrf  vpn", left: 4, line: "netns-exec --vrf blue vpn"},
		keystroke{typed: "netns-exec --vrf= vpn", left: 4, line: "netns-exec --vrf=blue vpn"},
		keystroke{typed: "netns-exec --vrf b /run/netns/vpn", left: 15, line: "netns-exec --vrf blue /run/netns/vpn"},
		keystroke{typed: "netns-exec --vrf m vpn", left: 4},
		keystroke{typed: "netns-exec --vrf b 'my vpn'", left: 9},
	)
}

// commands complete to what they complete to without netns-exec.
func (s *terminal) commands() {
	alone := func(command string) string {
		s.t.Helper()
		line := s.complete(keystroke{typed: command})
		if line == command {
			s.t.Errorf("%q completes to nothing", command)
		}
		return line
	}
	for _, command := range []string{"dnsmas", "ip rout", "ip -s lin", "ls --almost", "cat /etc/hostn"} {
		line := alone(command)
		s.press(keystroke{typed: "netns-exec vpn " + command, line: "netns-exec vpn " + line})
	}
	const command = "ls --almost"
	line := alone(command)
	for _, before := range []string{
		"netns-exec vpn -- ", "netns-exec --vrf mgmt -- ", "netns-exec --vrf=mgmt vpn ", "netns-exec --service web ",
		"netns-exec -s web -- ", "netns-exec 'my vpn' ", "netns-exec a:b ", "netns-exec -nu nobody:nogroup a:b -- ",
	} {
		s.press(keystroke{typed: before + command, line: before + line})
	}
	s.press(
		keystroke{typed: "netns-exec --vrf mgmt -- dnsmas", line: "netns-exec --vrf mgmt -- dnsmasq "},
		keystroke{typed: "netns-exec --service web dnsmas", line: "netns-exec --service web dnsmasq "},
		keystroke{typed: "netns-exec --vrf mgmt -- ls --al", lists: []string{"--all", "--almost-all"}},
	)
}

func (s *terminal) rcNetns() {
	s.press(
		keystroke{typed: "rc-netns ", lists: []string{"status", "check", "egress", "grant", "mend", "settings", "up", "down"}},
		keystroke{typed: "rc-netns --", lists: []string{"--help", "--version"}},
		keystroke{typed: "rc-netns st", line: "rc-netns status "},
		keystroke{typed: "rc-netns status we", line: "rc-netns status web "},
		keystroke{typed: "rc-netns status --js", line: "rc-netns status --json "},
		keystroke{typed: "rc-netns status web pla", line: "rc-netns status web plain "},
		keystroke{typed: "rc-netns check --js", line: "rc-netns check --json "},
		keystroke{typed: "rc-netns check ", lists: []string{"web", "plain", "netns.lab"}, omits: []string{"README"}},
		keystroke{typed: "rc-netns check --w"},
		keystroke{typed: "rc-netns grant nobod", line: "rc-netns grant nobody "},
		keystroke{typed: "rc-netns grant nobody vp", line: "rc-netns grant nobody vpn "},
		keystroke{typed: "netns-exec --cal", line: "netns-exec --caller "},
		keystroke{typed: "rc-netns mend we", line: "rc-netns mend web "},
		keystroke{typed: "rc-netns mend --q", line: "rc-netns mend --quiet "},
		keystroke{typed: "rc-netns settings we", line: "rc-netns settings web "},
		keystroke{typed: "rc-netns down la", line: "rc-netns down lab "},
		keystroke{typed: "rc-netns down my", line: `rc-netns down my\ vpn `},
		keystroke{typed: "rc-netns up ", lists: []string{"vpn", "tunnel", "lab"}},
		keystroke{typed: "rc-netns up --interface mg", line: "rc-netns up --interface mgmt "},
		keystroke{typed: "rc-netns up --wireguard /etc/fst", line: "rc-netns up --wireguard /etc/fstab "},
		keystroke{typed: "rc-netns up --dr", line: "rc-netns up --dry-run "},
		keystroke{typed: "rc-netns down --r", line: "rc-netns down --restart "},
	)
}

func (s *terminal) unprivileged() {
	s.press(
		keystroke{typed: "netns-exec tu", line: "netns-exec tunnel "},
		keystroke{typed: "netns-exec --service w", line: "netns-exec --service web "},
		keystroke{typed: "netns-exec --vrf mg", line: "netns-exec --vrf mgmt "},
		keystroke{typed: "netns-exec --vrf b vpn", left: 4},
		keystroke{typed: "rc-netns status we", line: "rc-netns status web "},
	)
}

func (s *terminal) nothingThere() {
	s.press(
		keystroke{typed: "netns-exec t"},
		keystroke{typed: "netns-exec --vrf b vpn", left: 4},
		keystroke{typed: "netns-exec --service w"},
		keystroke{typed: "rc-netns status w"},
		keystroke{typed: "rc-netns down l"},
	)
}

// installCompletions puts the files where this system's shells look for them.
func (h *host) installCompletions() {
	h.T.Helper()
	dir := h.T.TempDir()
	if err := build.Run("make", "install-completions", "DESTDIR="+dir, "ZSHCOMPDIR=/usr/share/zsh/vendor-completions"); err != nil {
		h.T.Fatal(err)
	}
	if err := h.Install(dir); err != nil {
		h.T.Fatal(err)
	}
	// What "make lint" does, with shells that its host may not have.
	h.Sh(`bash -n /usr/share/bash-completion/completions/netns-exec &&
		zsh -n /usr/share/zsh/vendor-completions/_netns-exec &&
		fish --no-execute /usr/share/fish/vendor_completions.d/netns-exec.fish &&
		fish --no-execute /usr/share/fish/vendor_completions.d/rc-netns.fish`)
}

func TestUninstall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, target := range []string{"install", "uninstall"} {
		if err := build.Run("make", target, "DESTDIR="+dir); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is left", strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inEach plays in each of the shells at once, as a user.
func inEach(t *testing.T, h *host, user string, play func(s *terminal)) {
	home := h.Sh("getent passwd " + user + " | cut -d: -f6")
	t.Run(user, func(t *testing.T) {
		for name, rc := range shells {
			h.Write(filepath.Join(home, rc.file), rc.text)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				play(openTerminal(t, h, user, home, name))
			})
		}
	})
}

// scene is a test of its own in the same shell.
func (s *terminal) scene(name string, play func()) {
	outer := s.t
	outer.Run(name, func(t *testing.T) {
		s.t = t
		defer func() { s.t = outer }()
		play()
	})
}

// terminal is a terminal with a shell in a machine.
type terminal struct {
	t     *testing.T
	shell string
	keys  io.Writer

	turn   sync.Mutex
	screen bytes.Buffer  // all output since the last report, without escapes
	more   chan struct{} // closed when there is more of it
	ended  bool
}

func openTerminal(t *testing.T, h *host, user, home, shell string) *terminal {
	t.Helper()
	// script(1) makes a terminal of the machine's.
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(h.PID()), "-m", "-n", "-p", "-u", "-i", "-C", "--",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME="+home, "TERM=xterm", "LANG=C.UTF-8",
		"script", "-qec", "stty rows 60 columns 160; cd; exec setpriv --reuid "+user+" --regid "+user+" --init-groups "+shell, "/dev/null")
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // nsenter(1) has a child
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, shell: shell, keys: keys, more: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { term.read(output) })
	t.Cleanup(func() {
		keys.Close()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		reading.Wait()
		_ = cmd.Wait()
	})
	term.await("ready> ")
	return term
}

var (
	escapes = regexp.MustCompile("\x1b(\\[[0-9;:?<>=]*[ -/]*[@-~]|[\\]P][^\x07\x1b]*(\x07|\x1b\\\\)|[()][A-Z0-9]|[=>78M])")
	report  = regexp.MustCompile(`\[\[(.*)\]\]`)

	complaints = regexp.MustCompile(`(?i)(bash|zsh|sh|fish|grep|netns-exec): .*|.*(error|no such|not found|no matches|denied).*`)
)

// read takes in what appears on the screen, and answers the terminal's part:
// fish asks what it is, and waits for the answer.
func (s *terminal) read(output io.Reader) {
	var raw []byte
	buffer := make([]byte, 4096)
	for {
		n, err := output.Read(buffer)
		for _, question := range []string{"\x1b[c", "\x1b[0c"} {
			if bytes.Contains(buffer[:n], []byte(question)) {
				io.WriteString(s.keys, "\x1b[?62;22c")
			}
		}
		raw = append(raw, buffer[:n]...)
		// An escape that is not complete waits for the rest.
		whole := len(raw)
		if i := bytes.LastIndexByte(raw, '\x1b'); i >= 0 && !escapes.Match(raw[i:]) && len(raw)-i < 64 {
			whole = i
		}
		s.turn.Lock()
		s.screen.Write(escapes.ReplaceAll(raw[:whole], nil))
		s.ended = err != nil
		close(s.more)
		s.more = make(chan struct{})
		s.turn.Unlock()
		raw = append(raw[:0], raw[whole:]...)
		if err != nil {
			return
		}
	}
}

// await waits until all of the texts are on the screen, and returns what is.
func (s *terminal) await(texts ...string) string {
	s.t.Helper()
	deadline := time.After(time.Minute) // the shells are slow beside other tests
	for {
		s.turn.Lock()
		screen, more, ended := s.screen.String(), s.more, s.ended
		s.turn.Unlock()
		missing := ""
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				missing = text
			}
		}
		if missing == "" {
			return screen
		}
		if ended {
			s.t.Fatalf("the shell has ended, without %q:\n%s", missing, screen)
		}
		select {
		case <-more:
		case <-deadline:
			s.t.Fatalf("no %q on the screen:\n%q", missing, screen)
		}
	}
}

// press types the keys, and looks at what comes of it.
func (s *terminal) press(keystrokes ...keystroke) {
	s.t.Helper()
	for _, k := range keystrokes {
		want := k.line
		if want == "" {
			want = k.typed
		}
		line := s.complete(k)
		if k.left > 0 { // zsh adds a blank where there is one
			line = strings.ReplaceAll(line, "  ", " ")
			want = strings.ReplaceAll(want, "  ", " ")
		}
		if line != want {
			s.t.Errorf("%q became\n%q, want\n%q", k.typed, line, want)
		}
	}
}

// complete types the keys, and returns what the command line has become.
func (s *terminal) complete(k keystroke) string {
	s.t.Helper()
	s.turn.Lock()
	s.screen.Reset()
	s.turn.Unlock()
	tab := "\t"
	if s.shell == "bash" && k.lists != nil {
		tab = "\t\t"
	}
	io.WriteString(s.keys, k.typed+strings.Repeat("\x02", k.left)+tab)
	s.await(k.lists...)
	io.WriteString(s.keys, "\x07")
	screen := s.await("]]")
	found := report.FindStringSubmatch(screen)
	if found == nil {
		s.t.Fatalf("%q: no report on the screen:\n%q", k.typed, screen)
	}
	if complaint := complaints.FindString(screen); complaint != "" {
		s.t.Errorf("%q: %q on the screen:\n%q", k.typed, complaint, screen)
	}
	list, _, _ := strings.Cut(strings.TrimPrefix(screen, k.typed), "[[")
	for _, text := range k.omits {
		if regexp.MustCompile(`(^|\s)` + regexp.QuoteMeta(text) + `(\s|$)`).MatchString(list) {
			s.t.Errorf("%q offers %q:\n%q", k.typed, text, list)
		}
	}
	return found[1]
}
