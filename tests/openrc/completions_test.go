package openrc

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
	s.lists("netns-exec ", "vpn tunnel a:b my", "-x")
	s.completes("netns-exec ",
		"tu|nnel ", "a|:b ", "a:|b ", "/proc/1/ns/ne|t ",
		`my|\ vpn `, `"my| vpn" `, `'my| vpn' `, `my\ |vpn `, `it|\'s\ \"x\" `, `it\'|s\ \"x\" `, "'$|(touch ran)' ",
		"-nu nobody --lock tu|nnel ", "--hide /srv --cgroup /x --lock tu|nnel ", "--lock --keep-cap mknod tu|nnel ",
		"--user=nobody:nogroup tu|nnel ")
}

func (s *terminal) options() {
	s.lists("netns-exec --", "--service --user --no-etc --hide --vrf --lock --keep-cap --cgroup --dry-run --help --version", "")
	s.lists("netns-exec -", "-s -u -n -h -V", "")
	s.lists("netns-exec -s ", "web relay relay.two", "plain netns.lab README")
	s.lists("netns-exec --vrf ", "mgmt rf", "blue other lo")
	s.completes("netns-exec ",
		"--hide /etc/conf|.d/", "--dr|y-run ", "--lock --dr|y-run ", "vpn --| ", "--cal|ler ",
		"--lock --keep-cap ne|t_admin ", "--no|-etc ",
		"--user nobo|dy ", "-u nobo|dy ", "--user=nobo|dy ", "-u nobody:nogr|oup ", "--user=nobody:nogr|oup ",
		"--service w|eb ", "--service=w|eb ", "--vrf mg|mt ", "--vrf=mg|mt ", `--vrf v|\'rf `, "--service web --vrf mg|")
}

func (s *terminal) vrfBeforeNamespace(release string) {
	if s.shell == "fish" && release != "trixie" {
		// Of these, only fish 4.0 shows what stands after the cursor.
		s.completes("netns-exec ", "--vrf m|gmt| vpn")
		return
	}
	s.completes("netns-exec ",
		"--vrf |blue| vpn", "--vrf=|blue| vpn", "--vrf b|lue| /run/netns/vpn", "--vrf m|| vpn", "--vrf b|| 'my vpn'")
}

// commands complete to what they complete to without netns-exec.
func (s *terminal) commands() {
	const list = "ls --almost"
	alone := map[string]string{}
	for _, command := range []string{"dnsmas", "ip rout", "ip -s lin", list, "cat /etc/hostn"} {
		line := s.complete(command, "")
		alone[command] = strings.TrimPrefix(line, command)
		if alone[command] == "" {
			s.t.Errorf("%q completes to nothing", command)
		}
		s.completes("netns-exec vpn ", command+"|"+alone[command])
	}
	for _, before := range []string{
		"vpn -- ", "--vrf mgmt -- ", "--vrf=mgmt vpn ", "--service web ", "-s web -- ", "'my vpn' ", "a:b ", "-nu nobody:nogroup a:b -- ",
	} {
		s.completes("netns-exec ", before+list+"|"+alone[list])
	}
	s.completes("netns-exec ", "--vrf mgmt -- dnsmas|q ", "--service web dnsmas|q ")
	s.lists("netns-exec --vrf mgmt -- ls --al", "--all --almost-all", "")
}

func (s *terminal) rcNetns() {
	s.lists("rc-netns ", "status check egress grant repair settings up down", "")
	s.lists("rc-netns --", "--help --version", "")
	s.lists("rc-netns check ", "web plain netns.lab", "README")
	s.lists("rc-netns up ", "vpn tunnel lab", "")
	s.completes("rc-netns ",
		"st|atus ", "status we|b ", "status --js|on ", "status web pla|in ", "check --js|on ", "check --w|",
		"grant nobod|y ", "grant nobody vp|n ", "repair we|b ", "repair --q|uiet ", "settings we|b ",
		"up --interface mg|mt ", "up --wireguard /etc/fst|ab ", "up --dr|y-run ", "down la|b ", `down my|\ vpn `, "down --r|estart ")
}

func (s *terminal) unprivileged() {
	s.completes("netns-exec ", "tu|nnel ", "--service w|eb ", "--vrf mg|mt ", "--vrf b|| vpn")
	s.completes("rc-netns ", "status we|b ")
}

func (s *terminal) nothingThere() {
	s.completes("netns-exec ", "t|", "--vrf b|| vpn", "--service w|")
	s.completes("rc-netns ", "status w|", "down l|")
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
	left, err := exec.Command("find", dir, "!", "-type", "d").CombinedOutput()
	if err != nil {
		t.Error(err)
	}
	kit.Equal(t, "left", string(left), "")
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
	t      *testing.T
	shell  string
	keys   io.Writer
	output chan string // what appears, without escapes, until the shell ends
	screen string      // all of that since the last report
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
	const most = 1000 // that come between two looks
	term := &terminal{t: t, shell: shell, keys: keys, output: make(chan string, most)}
	go term.read(output)
	t.Cleanup(func() {
		keys.Close()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		for range term.output {
		}
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
	defer close(s.output)
	var raw []byte
	buffer := make([]byte, 4096)
	for {
		n, err := output.Read(buffer)
		if err != nil {
			return
		}
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
		s.output <- string(escapes.ReplaceAll(raw[:whole], nil))
		raw = raw[whole:]
	}
}

// await waits until all of the texts are on the screen, and returns what is.
func (s *terminal) await(texts ...string) string {
	s.t.Helper()
	deadline := time.After(time.Minute) // the shells are slow beside other tests
	for _, text := range texts {
		for !strings.Contains(s.screen, text) {
			select {
			case more, runs := <-s.output:
				if !runs {
					s.t.Fatalf("the shell has ended, without %q:\n%s", text, s.screen)
				}
				s.screen += more
			case <-deadline:
				s.t.Fatalf("no %q on the screen:\n%q", text, s.screen)
			}
		}
	}
	return s.screen
}

// completes types each of the cases behind the command, presses Tab at "|", and
// looks whether that inserts what follows, up to the next "|" if what stands
// there was typed too.
func (s *terminal) completes(command string, cases ...string) {
	s.t.Helper()
	for _, text := range cases {
		before, rest, _ := strings.Cut(command+text, "|")
		inserted, after, _ := strings.Cut(rest, "|")
		line, want := s.complete(before, after), before+inserted+after
		if after != "" { // zsh adds a blank where there is one
			line = strings.ReplaceAll(line, "  ", " ")
			want = strings.ReplaceAll(want, "  ", " ")
		}
		if line != want {
			s.t.Errorf("%q and %q became\n%q, want\n%q", before, after, line, want)
		}
	}
}

// lists types a text, presses Tab, and looks at what is listed below it.
func (s *terminal) lists(typed, words, none string) {
	s.t.Helper()
	if line := s.complete(typed, "", strings.Fields(words)...); line != typed {
		s.t.Errorf("%q became %q", typed, line)
	}
	list, _, _ := strings.Cut(strings.TrimPrefix(s.screen, typed), "[[")
	for _, word := range strings.Fields(none) {
		if regexp.MustCompile(`(^|\s)` + regexp.QuoteMeta(word) + `(\s|$)`).MatchString(list) {
			s.t.Errorf("%q offers %q:\n%q", typed, word, list)
		}
	}
}

// complete types two texts, presses Tab between them, waits for what is to be
// listed, and returns what the command line has become.
func (s *terminal) complete(before, after string, listed ...string) string {
	s.t.Helper()
	for s.screen = ""; len(s.output) > 0; {
		<-s.output
	}
	tab := "\t"
	if s.shell == "bash" && listed != nil {
		tab = "\t\t"
	}
	io.WriteString(s.keys, before+after+strings.Repeat("\x02", len(after))+tab)
	s.await(listed...)
	io.WriteString(s.keys, "\x07")
	screen := s.await("]]")
	found := report.FindStringSubmatch(screen)
	if found == nil {
		s.t.Fatalf("%q: no report on the screen:\n%q", before+after, screen)
	}
	if complaint := complaints.FindString(screen); complaint != "" {
		s.t.Errorf("%q: %q on the screen:\n%q", before+after, complaint, screen)
	}
	return found[1]
}
