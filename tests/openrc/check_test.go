package openrc

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// checkReport is what "rc-netns check --json" prints, as its manual has it.
type checkReport struct {
	Version int
	System  struct {
		OpenRC, Directory string
		Patched           bool `json:"alpine_patches"`
		Findings          []checkFinding
		Unchecked         []string
	}
	Services []struct {
		Name, Netns, VRF, Makes string
		Known                   bool `json:"settings_known"`
		Lock                    bool
		Findings                []checkFinding
		Unchecked               []string
	}
	Default string
	Exempt  []struct{ Name, Why string }
}

type checkFinding struct {
	ID, Effect string
	Where      checkLine
	What, Why  string
	Remedy     struct {
		Text     string
		Commands []string
		Edits    []checkLine
	}
}

// checkLine is a line of a file; of an edit, with what it becomes.
type checkLine struct {
	Path string
	Line int
	Text string
}

func (l checkLine) String() string {
	if l.Line == 0 {
		return l.Path
	}
	return fmt.Sprintf("%s:%d", l.Path, l.Line)
}

// findings are those of the system and of all services.
func (r checkReport) findings() []checkFinding {
	all := r.System.Findings
	for _, s := range r.Services {
		all = append(all, s.Findings...)
	}
	return all
}

func (r checkReport) ids() string {
	var ids []string
	for _, f := range r.findings() {
		ids = append(ids, f.ID)
	}
	return strings.Join(ids, " ")
}

// text is what check prints where there is no terminal, but for what is in
// parentheses behind a verdict.
func (r checkReport) text() string {
	var text strings.Builder
	group := func(name string, findings []checkFinding, unchecked []string) {
		verdict := fmt.Sprint(len(findings), " findings")
		switch {
		case len(findings) == 1:
			verdict = "1 finding"
		case len(findings)+len(unchecked) == 0:
			verdict = "ok"
		case len(findings) == 0:
			verdict = "ok so far"
		}
		fmt.Fprintf(&text, "%s: %s\n", name, verdict)
		for _, f := range findings {
			effect := map[string]string{"outside": "runs outside", "fails": "does not start", "warning": "warning"}[f.Effect]
			fmt.Fprintf(&text, "  %s: %s\n    where: %s [%s]\n    why:   %s\n", effect, f.What, f.Where, f.ID, f.Why)
			remedy := append([]string{f.Remedy.Text}, f.lines()...)
			if len(remedy) > 1 {
				remedy[0] += ":"
			}
			text.WriteString("    do:    " + strings.Join(remedy, "\n           ") + "\n")
		}
		for _, what := range unchecked {
			text.WriteString("  not checked: " + what + "\n")
		}
	}
	group("system", r.System.Findings, r.System.Unchecked)
	for _, s := range r.Services {
		group(s.Name, s.Findings, s.Unchecked)
	}
	return text.String()
}

// lines are the commands and edits of a remedy.
func (f checkFinding) lines() []string {
	lines := slices.Clone(f.Remedy.Commands)
	for _, edit := range f.Remedy.Edits {
		lines = append(lines, fmt.Sprintf("%s: %s", edit, cmp.Or(edit.Text, "(an empty line)")))
	}
	return lines
}

var verdicts = regexp.MustCompile(`(?m)^(\S.*: (?:ok|ok so far|\d+ findings?)) \(.+\)$`)

// check runs it, and makes sure that text, JSON and status say the same.
func (h *host) check(command string) checkReport {
	h.T.Helper()
	out, text := h.Run(command+" --json"), h.Run(command)
	r := kit.Decode[checkReport](h.T, out.Stdout)
	if strings.Contains(out.Stdout, "null") {
		h.T.Errorf("null in:\n%s", out.Stdout)
	}
	kit.Equal(h.T, "version", fmt.Sprint(r.Version), "1")
	kit.Equal(h.T, "standard error", text.Stderr+out.Stderr, "")
	kit.Equal(h.T, "text", verdicts.ReplaceAllString(text.Stdout, "$1"), r.text())
	for _, f := range r.findings() {
		if slices.Contains(append([]string{f.What, f.Why, f.Remedy.Text, f.Where.Path}, f.Remedy.Commands...), "") {
			h.T.Errorf("something is empty in %+v", f)
		}
	}
	want := min(len(r.findings()), 1)
	if out.Code != want || text.Code != want {
		h.T.Errorf("status %d with --json, %d without, want %d:\n%s", out.Code, text.Code, want, text.Output)
	}
	return r
}

// onTerminal is what a command prints on one that is not wide.
func (h *host) onTerminal(columns int, command string) string {
	h.T.Helper()
	printed := h.Run(fmt.Sprintf("script -qec 'stty cols %d; %s' /dev/null </dev/null", columns, command)).Stdout
	return strings.ReplaceAll(printed, "\r", "")
}

var update = flag.Bool("update", false, "write the golden files")

// golden compares the findings that check prints for programs with the file of
// this scene, one a line; with layout, all of that, and before it what is
// printed on a narrow terminal.
func (h *host) golden(version, command string, layout bool) {
	h.T.Helper()
	printed := regexp.MustCompile(`\n *(.)`).ReplaceAllString(h.Run(command+" --json").Stdout, " $1")
	head, findings, _ := strings.Cut(strings.ReplaceAll(printed, ` { "id"`, "\n{ \"id\""), "\n")
	if findings == "" {
		return
	}
	if layout {
		findings = h.onTerminal(50, command) + head + "\n" + findings
	}
	findings = strings.ReplaceAll(findings, version, "VERSION")
	name := regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(path.Base(h.T.Name()), "")
	file := filepath.Join("testdata/check", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(findings), 0o644); err != nil {
			h.T.Fatal(err)
		}
	}
	kit.Equal(h.T, file, findings, kit.Read(h.T, file))
}

// apply does what a remedy says, word for word.
func (h *host) apply(f checkFinding) {
	h.T.Helper()
	for _, command := range f.Remedy.Commands {
		h.Sh(command)
	}
	edits := f.Remedy.Edits
	if _, example, found := strings.Cut(f.Remedy.Text, "as in "); found && len(edits) == 0 {
		edits = []checkLine{{f.Where.Path, f.Where.Line, example}}
	}
	for _, edit := range edits {
		lines := strings.Split(h.Sh("cat "+edit.Path), "\n")
		lines[edit.Line-1] = edit.Text
		h.Write(edit.Path, strings.Join(lines, "\n")+"\n")
	}
	if strings.Contains(f.Remedy.Text, "install openrc-netns again") {
		if err := h.Install(installed); err != nil {
			h.T.Fatal(err)
		}
	}
}

// sourcing makes it one that goes by OpenRC.
const sourcing = `; sed -i 's|^case|. /lib/lsb/init-functions\n&|' /etc/init.d/lsb`

// checkScene is a setup in which something is wrong. What check says of it is
// in testdata/check, in a file of its name.
type checkScene struct {
	release string // sid where it is empty
	before  string // a script
	conf    string // of the service
	service string // daemon where it is empty
	deny    string // the system call that this kernel has not, and what it answers
	want    string // the findings, "effect id", a line each
	after   string // a script, for a remedy that has no words to be taken literally
	stays   bool   // there is no remedy to apply here
	outside bool   // with the remedies applied, the service belongs on the host's network
	tunnel  bool   // there are wireguard-go, and the file of an interface wg0
	layout  bool   // what it prints for people is in the file too
}

// The devices of VRFs themselves are in the tests in virtual machines.
var checkScenes = map[string]checkScene{
	"for all": {before: "printf 'rc_parallel=NO\\nnetns=vpn # all\\n' >/etc/rc.conf", outside: true, want: "warning setting-global"},
	"for all, in a function": {outside: true, want: "warning setting-global",
		before: "printf 'f() {\\nnetns=vpn\\n}\\nf\\n' >/etc/rc.conf.d/all.conf", after: "rm /etc/rc.conf.d/all.conf"},
	"for all, misspelt":        {before: "echo netns_defualt=vpn >>/etc/rc.conf", want: "outside setting-unknown"},
	"script and conf.d":        {service: "own-netns", conf: "export netns=mgmt", before: "ip netns add mgmt", want: "fails settings-conflict"},
	"the host's":               {conf: "netns=old", before: ": >/run/netns/old; mount --bind /proc/1/ns/net /run/netns/old", want: "fails namespace-host"},
	"the host's, by a process": {conf: "netns=/proc/self/ns/../../1/task/1/ns/net", want: "fails namespace-host"},
	"a file":                   {conf: "netns=/etc/fstab", before: ": >/etc/fstab", want: "fails namespace-other"},
	"no script":                {service: "daemno", conf: "netns=vpn", outside: true, want: "fails script-missing"},
	"no script at all":         {service: "webserver", conf: "netns=vpn", outside: true, want: "fails script-missing"},
	"no link":                  {service: "daemon.two", conf: "netns=vpn", want: "fails script-missing"},
	"not executable":           {conf: "netns=vpn", before: "chmod 644 /etc/init.d/daemon", want: "warning script-not-executable"},
	"not executable, 0.56":     {release: "trixie", conf: "netns=vpn", before: "chmod 644 /etc/init.d/daemon", want: "fails script-not-executable"},
	"LSB script, 0.45":         {service: "lsb", release: "bookworm", conf: "netns=vpn", before: lsbDaemon, want: "outside script-bypasses-openrc"},
	"LSB script, 0.56":         {layout: true, service: "lsb", release: "trixie", conf: "netns=vpn\nnetns_lock=yes", before: lsbDaemon, want: "outside script-bypasses-openrc"},
	"Debian's script, 0.45":    {service: "lsb", release: "bookworm", conf: "netns=vpn", before: lsbDaemon + sourcing},
	"Debian's script, 0.64":    {service: "lsb", conf: "netns=vpn", before: lsbDaemon + sourcing},
	"Debian's, not handed over": {service: "lsb", release: "bookworm", conf: "netns=vpn", want: "outside lsb-dropin-missing",
		before: lsbDaemon + sourcing + "; rm /lib/lsb/init-functions.d/50-openrc-netns"},
	"no header": {service: "lsb", release: "bookworm", conf: "netns=vpn", want: "fails script-no-header",
		before: lsbDaemon + sourcing + "; sed -i '/^#[# ]/d' /etc/init.d/lsb"},
	"runit, of the script": {conf: "netns=vpn", before: `sed -i '3i supervisor="runit"' /etc/init.d/daemon`, want: "fails supervisor-runit"},
	"s6":                   {conf: "netns=vpn\nsupervisor=s6"},
	"s6, 0.56":             {release: "trixie", conf: "netns=vpn\nsupervisor=s6", want: "fails supervisor-s6"},
	"s6 and chroot":        {conf: "netns=vpn\nsupervisor=s6\nchroot=/srv", after: "sed -i /chroot/d /etc/conf.d/daemon", want: "fails supervisor-s6"},
	"s6 and a logger":      {conf: "netns=vpn\nsupervisor=s6\noutput_logger='cat | cat'", want: "fails supervisor-s6"},
	"s6, a script of its own": {service: "bare", conf: "netns=vpn\nsupervisor=s6", stays: true, want: "fails supervisor-s6",
		before: "printf '#!/sbin/openrc-run\n' >/etc/init.d/bare; mkdir -p /var/svc.d/bare; : >/var/svc.d/bare/run; chmod 755 /etc/init.d/bare /var/svc.d/bare/run"},
	"no cgroup v2":           {conf: "netns_lock=yes", before: "umount -l /sys/fs/cgroup", deny: "fsopen ENODEV", outside: true, want: "fails kernel"},
	"no drop-in":             {conf: "netns=vpn", before: "rm /etc/rc.conf.d/50-netns.conf", want: "outside dropin-missing"},
	"drop-in for root only":  {conf: "netns=vpn", before: "chmod 600 /etc/rc.conf.d/50-netns.conf", want: "warning dropin-unreadable"},
	"drop-in of another one": {conf: "netns=vpn", before: "sed -i 's/in v1)/in v0)/' /etc/rc.conf.d/50-netns.conf", want: "fails dropin-version"},
	"drop-in a directory":    {conf: "netns=vpn", before: "cd /etc/rc.conf.d; rm 50-netns.conf; mkdir 50-netns.conf", want: "outside dropin-unreadable"},
	"no hook": {conf: "netns=vpn", want: "fails hook-missing",
		before: "sed -i 's|/usr/sbin/openrc-netns-hook|/nowhere/openrc-netns-hook|' /etc/rc.conf.d/50-netns.conf /usr/share/openrc-netns/service.sh"},
	"no library":             {conf: "netns=vpn", before: "rm -r /usr/share/openrc-netns", want: "fails library-missing"},
	"library of another one": {conf: "netns=vpn", before: "sed -i s/v1$/v0/ /usr/share/openrc-netns/script.sh", want: "fails library-missing"},
	"OpenRC of tomorrow": {conf: "netns=vpn", want: "fails openrc-unsupported",
		before: "cd /usr/lib/rc/sh; cp -p openrc-run.sh stock; sed -i 's/sourcex/load/g' openrc-run.sh",
		after:  "mv /usr/lib/rc/sh/stock /usr/lib/rc/sh/openrc-run.sh; sleep 1; touch /etc/conf.d/daemon"},
	"mdns": {conf: "netns=vpn", want: "warning resolver-socket",
		before: "mkdir /run/avahi-daemon; : >/run/avahi-daemon/socket; echo 'hosts: files mdns4_minimal [NOTFOUND=return] dns' >/etc/nsswitch.conf"},
	"resolved": {conf: "netns=vpn netns_hide='/usr/games'", want: "warning resolver-socket",
		before: "mkdir -p /run/systemd/resolve; : >/run/systemd/resolve/io.systemd.Resolve; echo 'hosts: files resolve' >/etc/nsswitch.conf"},
	"loopback":       {conf: "netns=vpn", before: "printf 'search x\nnameserver 127.0.0.53\n' >/etc/resolv.conf", want: "warning resolver-loopback"},
	"loopback, none": {layout: true, conf: "netns=vpn\nnetns_etc=no", before: "echo nameserver ::1 >/etc/resolv.conf", want: "warning resolver-loopback"},
	"pid file": {service: "daemon.two", conf: "netns=vpn", want: "warning pidfile-shared",
		before: "sed -i 's|^pidfile=.*|pidfile=/run/one.pid|' /etc/init.d/daemon; ln -s daemon /etc/init.d/daemon.two; rc-update add daemon default"},
	"pid file, of a copy": {service: "copy", conf: "netns=vpn", want: "warning pidfile-shared",
		before: "sed 's|^pidfile=.*|PIDFILE=\"/run/daemon.pid\"\\npidfile=$PIDFILE|' /etc/init.d/daemon >/etc/init.d/copy; chmod 755 /etc/init.d/copy; rc-service daemon start; rc-service daemon stop; rc-update add daemon default"},
	"by name": {service: "daemon.two", conf: "netns=vpn", want: "warning service-by-name",
		before: "printf 'panic()\n{\n\trc-service daemon stop\n}\n' >>/etc/init.d/daemon; ln -s daemon /etc/init.d/daemon.two; rc-update add daemon default"},
	"calls ip itself": {service: "web", want: "warning script-enters",
		before: `printf '#!/sbin/openrc-run\ncommand=ip\ncommand_args="netns exec vpn /usr/local/bin/sleeper 3600"\ncommand_background=yes\npidfile=/run/web.pid\n' >/etc/init.d/web; chmod 755 /etc/init.d/web`,
		after:  `sed -i -e s/=ip/=sleeper/ -e 's/"netns.*"/3600/' /etc/init.d/web; echo netns=vpn >/etc/conf.d/web`},
	"publish a name": {service: "netns-publish.lan", outside: true, want: "fails publish-bad",
		before: publishScripts + `echo 'netns_publish="127.0.0.1:9091 web:80"' >/etc/conf.d/netns.lan`},
	"publish nothing": {service: "netns-publish.lan", outside: true, want: "fails publish-bad",
		before: publishScripts, after: "echo netns_publish=127.0.0.1:9091 >/etc/conf.d/netns.lan"},
	"publish twice": {service: "netns-publish.lan", outside: true, after: "sed -i s/9091/9092/ /etc/conf.d/netns.lan",
		before: publishScripts + `ln -s netns /etc/init.d/netns.vpn; ln -s netns-publish /etc/init.d/netns-publish.vpn
			for n in lan vpn; do echo netns_publish=127.0.0.1:9091 >/etc/conf.d/netns.$n; done; rc-service netns-publish.vpn start`,
		want: "fails publish-taken\nfails publish-taken"},
	"publish without a service": {conf: "netns=lan", want: "warning publish-unserved",
		before: "ln -s netns /etc/init.d/netns.lan; echo netns_publish=127.0.0.1:9091 >/etc/conf.d/netns.lan"},
	"publish inside": {layout: true, service: "netns-publish.lan", outside: true, conf: "netns=lan", want: "fails setting-misplaced",
		before: publishScripts + "echo netns_publish=127.0.0.1:9091 >/etc/conf.d/netns.lan"},
	"namespace not executable": {conf: "netns=lan", before: "ln -s netns /etc/init.d/netns.lan; chmod 644 /etc/init.d/netns", want: "fails script-not-executable"},
}

// checkScenesTogether are those that share a machine.
var checkScenesTogether = map[string]map[string]checkScene{
	"conf.d": {
		"etc word":          {conf: "netns=vpn\nnetns_etc=copy", want: "fails setting-bad"},
		"lock word":         {conf: "netns=vpn netns_lock='maybe' x=1", want: "fails setting-bad"},
		"capability":        {conf: "netns=vpn\nnetns_lock=yes\nnetns_keep_caps='net_admin, chown'", want: "fails setting-bad"},
		"misspelt":          {conf: "netns=vpn\nnetns_hid=/usr/games", want: "warning setting-unknown"},
		"only for a shell":  {conf: "tunnel=nowhere\n[ -e / ] && netns=\"$tunnel\"", want: "fails namespace-missing"},
		"asks the network":  {conf: "netns=vpn\nip link show lo >/dev/null 2>&1 || netns=", want: "warning settings-unreadable"},
		"fails":             {conf: "netns=vpn\n[ -e /nowhere ] && more=yes", want: "fails settings-fail", after: "sed -i /nowhere/d /etc/conf.d/daemon"},
		"taken back":        {conf: "netns=vpn\n# more\nunset netns", want: "outside setting-unreached", after: "sed -i /unset/d /etc/conf.d/daemon"},
		"after a condition": {conf: "[ \"$SVCNAME\" = mysql ] || rc_provide=\"!mysql\"\nnetns=nowhere", want: "fails namespace-missing"},
		"below a return":    {conf: "[ \"$SVCNAME\" = mysql ] || rc_provide=\"!mysql\"\nreturn 0\n# more\nnetns=vpn", want: "outside setting-unreached"},
		"for all, in one":   {conf: "netns_default=vpn", want: "warning setting-misplaced"},
		"bad name":          {conf: "netns=../vpn", want: "fails namespace-bad-name"},
		"missing":           {conf: "netns=nowhere", want: "fails namespace-missing"},
		"missing path":      {conf: "netns=/proc/999999/ns/net", want: "fails namespace-missing"},
		"missing by path":   {conf: "netns=/run/netns/nowhere", want: "fails namespace-missing"},
		"runit":             {conf: "netns=vpn\nsupervisor=runit", want: "fails supervisor-runit"},
		"hide nothing":      {conf: `netns=vpn netns_hide="/nowhere /usr/games"`, want: "fails hide-missing"},
		"hide OpenRC":       {conf: `netns=vpn netns_hide=/usr/lib/rc`, after: "echo netns=vpn >/etc/conf.d/daemon", want: "fails start-fails"},
		"hide relative":     {conf: `netns=vpn netns_hide=usr/games`, want: "fails hide-relative"},
		"hide two":          {conf: `netns=vpn netns_hide="/no /where"`, want: "fails hide-missing\nfails hide-missing"},
		"no VRF":            {layout: true, conf: "netns=vpn\nvrf=mgmt", stays: true, want: "fails vrf-missing"},
		"no VRF, host":      {conf: "vrf=mgmt", stays: true, want: "fails vrf-missing"},
		"calls ip itself, conf.d": {want: "warning script-enters",
			conf:  "netns=vpn # not by ip netns exec vpn\nstart_pre() {\n\teinfo \"as ip netns exec vpn would\"\n\t: \"$#\"; ip vrf exec mgmt true || :\n}",
			after: "echo netns=vpn >/etc/conf.d/daemon"},
		"calls ip itself, locked": {want: "warning script-enters",
			conf: "netns=vpn\nnetns_lock=yes\nstart_pre() {\n\tip netns exec \"$netns\" touch /run/entered || [ ! -e /run/entered ]\n}", after: "sed -i /lock/d /etc/conf.d/daemon"},
	},
	"names": {
		"stale":        {conf: "netns=old", before: ": >/run/netns/old", want: "fails namespace-stale"},
		"a directory":  {conf: "netns=old", before: "mkdir /run/netns/old", want: "fails namespace-other"},
		"a FIFO":       {conf: "netns=old", before: "mkfifo /run/netns/old", want: "fails namespace-other"},
		"another type": {conf: "netns=old", before: ": >/run/netns/old; mount --bind /proc/self/ns/uts /run/netns/old", want: "fails namespace-other"},
	},
	"etc": {
		"no target":    {conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn; echo x >/etc/netns/vpn/nowhere", want: "fails etc-target-missing"},
		"no directory": {conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn/nowhere.d", want: "fails etc-target-missing"},
		"target to nowhere": {conf: "netns=vpn", want: "fails etc-target-missing",
			before: "mkdir -p /etc/netns/vpn; echo x >/etc/netns/vpn/hosts; ln -sf /run/nowhere/hosts /etc/hosts"},
		"another kind":       {conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn/hosts; : >/etc/hosts", want: "fails etc-kind"},
		"source to nowhere":  {conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn; : >/etc/hosts; ln -s /nowhere /etc/netns/vpn/hosts", want: "fails etc-source"},
		"no directory of it": {conf: "netns=vpn", before: "mkdir -p /etc/netns; : >/etc/netns/vpn", want: "fails etc-unreadable"},
	},
	"kernel": {
		"no bpf":              {conf: "netns=vpn\nnetns_lock=yes", deny: "bpf ENOSYS", want: "fails kernel"},
		"no bpf on cgroups":   {conf: "netns_lock=yes", deny: "bpf EINVAL", outside: true, want: "fails kernel"},
		"no cookie":           {conf: "netns=vpn\nnetns_lock=yes", deny: "getsockopt ENOPROTOOPT", want: "fails kernel"},
		"no mount namespaces": {conf: "netns=vpn", deny: "unshare EPERM", stays: true, want: "fails start-fails"},
		"no new sysfs":        {conf: "netns=vpn", deny: "fsopen EPERM", stays: true, want: "warning start-warns"},
	},
	"maker": {
		"interface":                   {conf: "netns_interfaces='a:b:c'", want: "fails interface-bad"},
		"sysctl":                      {conf: "netns_sysctl='net.ipv4.ip_forward=1 kernel.hostname=x'", want: "fails sysctl-bad"},
		"interface, of the namespace": {service: "daemon", conf: "netns=lan", before: "echo netns_interfaces=a:b:c >/etc/conf.d/netns.lan", want: "fails interface-bad"},
		"veth":                        {conf: "netns_veth='a b:c'", want: "fails veth-bad"},
		"dns":                         {conf: "netns_dns='192.0.2.53 1.2.3'", want: "fails dns-bad"},
		"wireguard, no path":          {tunnel: true, conf: "netns_wireguard='wg0 /etc/wireguard/wg0.conf'", want: "fails wireguard-bad"},
		"wireguard, no file": {tunnel: true, conf: "netns_wireguard=/etc/wireguard/wg1.conf", want: "fails wireguard-file",
			after: "mv /etc/wireguard/wg0.conf /etc/wireguard/wg1.conf"},
		"wireguard, bad lines": {tunnel: true, conf: "netns_wireguard=/etc/wireguard/wg0.conf", want: "fails wireguard-file\nfails wireguard-file",
			before: "sed -i '2iPostUp = iptables -A x\\nMTU = x' /etc/wireguard/wg0.conf", after: "sed -i /PostUp/d /etc/wireguard/wg0.conf; sed -i /MTU/d /etc/wireguard/wg0.conf"},
		"wireguard, readable": {service: "daemon", tunnel: true, conf: "netns=lan", want: "warning wireguard-readable",
			before: "chmod 644 /etc/wireguard/wg0.conf; chmod 755 /etc/wireguard; echo netns_wireguard=/etc/wireguard/wg0.conf >/etc/conf.d/netns.lan"},
		"wireguard, two peers": {service: "daemon", tunnel: true, conf: "netns=lan", want: "warning wireguard-peers",
			before: "printf '[Peer]\nPublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=\nAllowedIPs = 0.0.0.0/0\n' >>/etc/wireguard/wg0.conf; echo netns_wireguard=/etc/wireguard/wg0.conf >/etc/conf.d/netns.lan",
			after:  "sed -i '$d' /etc/wireguard/wg0.conf"},
		"no wireguard": {tunnel: true, conf: "netns_wireguard=/etc/wireguard/wg0.conf", want: "fails wireguard-missing",
			before: "mv /usr/bin/wireguard-go /root", after: "mv /root/wireguard-go /usr/bin"},
		"addresses":           {conf: "netns_veth=host0:eth0\nconfig_eth0=dhcp", after: "sed -i s/dhcp/null/ /etc/conf.d/netns.lan", want: "fails address-bad"},
		"addresses of nobody": {conf: "netns_veth=host0:eth0\nconfig_eth1=null", after: "sed -i s/eth1/eth0/ /etc/conf.d/netns.lan", want: "fails address-bad"},
		"routes": {want: "fails route-bad",
			conf: "netns_veth=host0:eth0\nconfig_eth0=192.0.2.2/24\nroutes_eth0='default via 198.51.100.1'", after: "sed -i s/198.51.100/192.0.2/ /etc/conf.d/netns.lan"},
		"clash": {conf: "netns_veth='host0:eth0 host1:eth0'", after: "sed -i s/host1:eth0/host1:eth1/ /etc/conf.d/netns.lan", want: "fails interface-clash"},
		"nothing to bind over": {service: "daemon", conf: "netns=lan", want: "fails etc-target-missing",
			before: "echo netns_dns=192.0.2.53 >/etc/conf.d/netns.lan; rm -f /etc/resolv.conf"},
		"namespace to be made, no bpf": {service: "daemon", conf: "netns=lan\nnetns_lock=yes", deny: "bpf ENOSYS", want: "fails kernel"},
		"namespace in itself":          {conf: "netns=lan", want: "fails setting-misplaced"},
	},
}

// Each finding is made to happen. What check says of a start is what a start
// does; with the remedies applied word for word nothing is found, and the
// service runs inside.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	machines := maps.Clone(checkScenesTogether)
	for name, scene := range checkScenes {
		machines[name] = map[string]checkScene{name: scene}
	}
	// All of them, and none that the manual does not have.
	const elsewhere = "user-dropin-missing vrf-bad-name vrf-other openrc-in-namespace namespace-waits settings-unread"
	shown := strings.Fields(elsewhere)
	for on, scenes := range machines {
		for _, scene := range scenes {
			for line := range strings.Lines(scene.want) {
				shown = append(shown, strings.Fields(line)[1])
			}
		}
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			var h *host
			for _, name := range slices.Sorted(maps.Keys(scenes)) {
				scene := scenes[name]
				if h == nil {
					h = bootRelease(t, machine.Options{Release: scene.release}, true)
				}
				if on == "maker" {
					h.Sh("ln -sf netns /etc/init.d/netns.lan")
					if scene.service == "" {
						scene.service, scene.outside = "netns.lan", true
					}
				}
				t.Run(name, func(t *testing.T) { scene.play(h.with(t)) })
				if len(scenes) > 1 {
					h.Sh(checkReset)
				}
			}
		})
	}
	slices.Sort(shown)
	kit.Equal(t, "findings in the manual", strings.Join(documented(t), " "), strings.Join(slices.Compact(shown), " "))
}

// documented are the findings that the manual has.
func documented(t *testing.T) []string {
	_, list, _ := strings.Cut(kit.Read(t, "../../man/rc-netns.8"), "These are the findings:\n")
	list, _, _ = strings.Cut(list, "\n.El\n")
	var ids []string
	for _, item := range regexp.MustCompile(`(?m)^\.It Li (.*)$`).FindAllStringSubmatch(list, -1) {
		ids = append(ids, strings.Fields(strings.ReplaceAll(item[1], " ,", ""))...)
	}
	slices.Sort(ids)
	return ids
}

const publishScripts = "ip link set lo up; ln -s netns /etc/init.d/netns.lan; ln -s netns-publish /etc/init.d/netns-publish.lan; "

// checkReset makes ready for the next one on a machine.
const checkReset = `for s in daemon netns.lan; do [ ! -e /run/openrc/started/$s ] || rc-service $s stop; done; rm -rf /etc/conf.d/* /etc/netns /etc/nowhere* /etc/hosts; : >/etc/hosts
	for name in old nowhere; do ip netns delete $name || umount /run/netns/$name; rm -rf /run/netns/$name; done 2>/dev/null; rm -rf /run/netns/[^v]*; :`

const lsbDaemon = `cat >/etc/init.d/lsb <<'end'
#!/bin/sh
### BEGIN INIT INFO
# Provides: lsb
# Required-Start:
# Required-Stop:
# Default-Start: 2
# Default-Stop:
# Short-Description: a daemon
### END INIT INFO
case "$1" in
start) /usr/local/bin/sleeper 3600 </dev/null >/dev/null 2>&1 & ;;
status) pgrep -x sleeper >/dev/null || exit 3 ;;
stop) pkill -x sleeper; while pgrep -x sleeper >/dev/null; do sleep 0.1; done ;;
esac
end
chmod 755 /etc/init.d/lsb`

func (b checkScene) play(h *host) {
	t := h.T
	if b.service == "" {
		b.service = "daemon"
	}
	if b.service == "own-netns" {
		h.scripts("own-netns")
	}
	if strings.Contains(b.conf, "s6") {
		h.scripts("s6-svscan")
	}
	if b.tunnel {
		h.tunnel()
	}
	h.Sh("mkdir -p /usr/games; " + b.before)
	h.Conf(b.service, b.conf)
	// OpenRC does not see what changes in the second in which it looked.
	h.Sh("rm -f /run/openrc/deptree")
	under := ""
	if b.deny != "" {
		under = "probe deny " + b.deny + " /usr/bin/env "
	}
	check, service := under+"rc-netns check", under+"rc-service "+b.service+" "

	look := func() string {
		return h.Sh("rm -f /run/trace.*; cat /proc/self/mountinfo; find /sys/fs/cgroup /run -type d | sort; ls /tmp")
	}
	before := look()
	r := h.check(check)
	kit.Equal(t, "what check left", look(), before)
	got := ""
	for _, f := range r.findings() {
		got += "\n" + f.Effect + " " + f.ID
	}
	kit.Equal(t, "findings", strings.TrimPrefix(got, "\n"), b.want)
	effect := func(word string) bool { return strings.Contains(got, "\n"+word+" ") }
	h.golden(r.System.OpenRC, check, b.layout)
	if testing.Short() {
		return // what it prints, and not whether that is so
	}

	// And so it is.
	started := h.Run(service + "start")
	switch {
	case effect("fails"):
		if started.Code == 0 {
			t.Errorf("it starts:\n%s", started.Output)
		}
		if message, quoted := strings.CutPrefix(r.findings()[0].Why, "a start is refused: "); quoted {
			kit.Contains(t, started.Output, b.service+": "+message+"\n")
		}
		h.noDaemon()
	case started.Code != 0:
		t.Fatalf("it does not start:\n%s", started.Output)
	case effect("outside"):
		kit.Equal(t, "the daemon", h.where(h.daemon()), h.outside())
	default:
		kit.Equal(t, "the daemon", h.where(h.daemon()), h.insideOf(b.service, r))
	}
	if started.Code == 0 {
		h.Sh(service + "stop")
		h.noDaemon()
	}
	if b.stays {
		return
	}

	for n := 0; len(r.findings()) > 0; n++ {
		if n == 3 {
			t.Fatalf("still: %s", r.ids())
		}
		h.apply(r.findings()[0])
		if b.after != "" {
			h.Sh(b.after)
		}
		r = kit.Decode[checkReport](t, h.Run(check+" --json").Stdout)
	}
	if strings.Contains(b.want, "script-missing") && b.outside {
		return // there is no such service, and no settings of it
	}
	h.Sh(service + "start")
	if b.outside {
		kit.Equal(t, "state", h.state(b.service), "started")
		return
	}
	kit.Equal(t, "the daemon", h.where(h.daemon()), h.insideOf(b.service, r))
}

// insideOf is the network namespace of a service, by what check says.
func (h *host) insideOf(service string, r checkReport) string {
	h.T.Helper()
	for _, s := range r.Services {
		if s.Name == service && s.Netns != "" {
			return h.namespace(filepath.Base(s.Netns))
		}
	}
	return h.inside()
}

// tunnel brings wireguard-go, and a file of wg-quick.
func (h *host) tunnel() {
	h.T.Helper()
	program, err := userspace()
	mine, theirs := kit.NewKeys(), kit.NewKeys()
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.66.0.2/32\n\n"+
		"[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.1:51820\n", mine.Private, theirs.Public)
	err = errors.Join(err, h.WriteFile("/usr/bin/wireguard-go.new", 0o755, program), h.WriteFile("/etc/wireguard/wg0.conf", 0o600, text))
	if err != nil {
		h.T.Fatal(err)
	}
	h.Sh("mv /usr/bin/wireguard-go.new /usr/bin/wireguard-go") // one may run still
}

// What a remedy says can be pasted, whatever the names.
func TestCheckQuotes(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, test := range []struct{ service, before, conf, remedy string }{
		{"my web", "", "netns=vpn", "rm '/etc/conf.d/my web'"},
		{"it's", "", "netns=vpn", `rm '/etc/conf.d/it'\''s'`},
		{"daemon(1)", "cp -p daemon 'daemon(1)'; chmod 644 'daemon(1)'", "netns=vpn", "chmod 755 '/etc/init.d/daemon(1)'\nrc-update -u"},
		{"daemn(1)", "cp -p daemon 'daemon(1)'", "netns=vpn", "cat '/etc/conf.d/daemn(1)' >>'/etc/conf.d/daemon(1)'\nrm '/etc/conf.d/daemn(1)'"},
		{"daemon", "", `netns="it's a name"`, `ip netns add 'it'\''s a name'`},
		{"daemon", "touch '/run/netns/$(echo)'", "netns='$(echo)'", "rm '/run/netns/$(echo)'\nip netns add '$(echo)'"},
		{"daemon", "ip netns add 'a;b'; mkdir -p '/etc/netns/a;b/my dir'", "netns='a;b'", "mkdir '/etc/my dir'"},
		{"daemon", "ip netns add 'a;b'; mkdir '/etc/netns'; echo x >'/etc/netns/a;b'", "netns='a;b'", "rm '/etc/netns/a;b'\nmkdir '/etc/netns/a;b'"},
		{"daemon", "ip netns add 'a;b'; echo nameserver 127.0.0.1 >/etc/resolv.conf", "netns='a;b'", "mkdir -p '/etc/netns/a;b'\necho nameserver 192.0.2.53 >>'/etc/netns/a;b/resolv.conf'"},
		{"daemon", "", "netns=vpn\nnetns_hide='/run/$dir /run/netns'", "/etc/conf.d/daemon:2: netns_hide=/run/netns"},
		{"daemon", "mkdir '/run/$dir'", "netns=vpn\nnetns_hide='/run/$dir /nowhere /run/netns'", "/etc/conf.d/daemon:2: netns_hide='/run/$dir /run/netns'"},
	} {
		h.Sh("cd /etc/init.d; " + test.before)
		h.Conf(test.service, test.conf)
		r := h.check("rc-netns check")
		if len(r.findings()) != 1 {
			t.Fatalf("%s: %s", test.conf, r.ids())
		}
		f := r.findings()[0]
		kit.Equal(t, f.ID, strings.Join(f.lines(), "\n"), test.remedy)
		h.apply(f)
		kit.Equal(t, f.ID+", with its remedy", h.check("rc-netns check").ids(), "")
		h.Sh("rm -rf /etc/conf.d/* /etc/init.d/daem*n'('* /etc/netns '/etc/my dir'; : >/etc/resolv.conf; umount /run/netns/[!v]*; rm -f /run/netns/[!v]*")
	}
}

// Where check finds nothing, the service starts where it belongs.
func TestCheckFindsNothing(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`mkdir -p /etc/netns/vpn /usr/games /run/nscd; cp /etc/resolv.conf /etc/netns/vpn/
		ln -s daemon /etc/init.d/daemon.two; ln -s netns /etc/init.d/netns.lan
		echo 'hosts: files resolve mdns4 sss dns' >/etc/nsswitch.conf`)
	h.Conf("netns.lan", "netns_sysctl=net.ipv4.ip_forward=1", "netns_post_up() {", "\treadlink /proc/self/ns/net >/run/trace.up", "}")
	for _, test := range []struct{ name, conf, service, other string }{
		{"a name", "netns=vpn", "daemon", ""},
		{"a path", "netns=/run/netns/vpn", "daemon", ""},
		{"all of it", "netns='vpn' # comment\nexport netns_etc=yes\nnetns_hide=\"/usr/games /run/nscd\" netns_lock=on netns_keep_caps='net_admin SYS_PTRACE'", "daemon", ""},
		{"of the base", "netns=vpn", "daemon.two", "daemon"},
		{"of the runlevel", "netns=vpn", "daemon", "daemon.default"},
		{"with a function", "netns=vpn\nstart_pre() {\n\t:\n}", "daemon", ""},
		{"with a list", "netns=vpn\nsupervisor=supervise-daemon\nmore=$(date)", "daemon", ""},
		{"not there yet", "netns=lan", "daemon", ""},
		{"as Alpine's firewalls", "netns=vpn\nstart_pre() {\n\t[ -z \"$netns\" ] || ip netns exec $netns true\n}", "daemon", ""},
		{"hidden resolver", "netns=vpn netns_hide=/run/avahi-daemon", "daemon", ""},
	} {
		conf := test.other
		if conf == "" {
			conf = test.service
		}
		h.Sh("rm -rf /etc/conf.d/daemon* /run/avahi-daemon")
		if strings.Contains(test.conf, "avahi") {
			h.Sh("mkdir /run/avahi-daemon; : >/run/avahi-daemon/socket")
		}
		h.Conf(conf, test.conf)
		r := h.check("rc-netns check")
		kit.Equal(t, test.name, r.ids(), "")
		var seen []string
		for _, s := range r.Services {
			seen = append(seen, s.Name+" "+s.Netns+s.Makes)
			kit.Equal(t, test.name+": not checked", strings.Join(s.Unchecked, "\n"), "")
		}
		netns := "vpn"
		if strings.Contains(test.conf, "lan") {
			netns = "lan"
		}
		for _, want := range []string{"netns.lan lan", test.service + " "} {
			if !strings.Contains(strings.Join(seen, "\n")+"\n", want) {
				t.Errorf("%s: no %q in %q", test.name, want, seen)
			}
		}
		h.Sh("rc-update -u; rc-service " + test.service + " start")
		kit.Equal(t, test.name, h.where(h.daemon()), h.namespace(netns))
		h.Sh("rc-service " + test.service + " stop")
		h.noDaemon()
	}

	// With a service its namespace's is looked at.
	h.Sh("rc-service netns.lan stop")
	h.Conf("daemon", "netns=lan", "vrf=mgmt")
	r := h.check("rc-netns check daemon")
	kit.Equal(t, "services", r.Services[0].Name+" "+r.Services[1].Name, "daemon netns.lan")
	kit.Equal(t, "unchecked", strings.Join(r.Services[0].Unchecked, "\n"), `VRF "mgmt": the service netns.lan makes its network namespace first`)

	h.Conf("netns.lan", "netns_interfaces=$(ip -o link)")
	r = h.check("rc-netns check netns.lan")
	kit.Equal(t, "unchecked", strings.Join(r.Services[0].Unchecked, "\n"), "what the settings of netns.lan are")

	// Files that are nobody's settings.
	h.Sh("rm /etc/conf.d/*")
	for _, name := range []string{"daemon.bak", "daemon~", ".daemon", "daemon.dpkg-old", "daemon.apk-new", "daemon.default"} {
		h.Conf(name, "netns=nowhere")
	}
	h.Sh("mv /etc/conf.d/daemon.default /etc/conf.d/daemon.nonetwork")
	h.Sh("mkdir -p /etc/runlevels/nonetwork")
	kit.Equal(t, "services", fmt.Sprint(len(h.check("rc-netns check").Services)), "1")
	// Named, a service without settings is looked at.
	kit.Contains(t, h.Sh("rc-netns check plain"), "plain: ok (no network namespace, no VRF)")
	kit.Equal(t, "services", fmt.Sprint(len(h.check("rc-netns check plain daemon").Services)), "2")

	// A script in another directory that OpenRC knows is one too, and a link to
	// nowhere is none: daemon.two.
	h.Sh("rm /etc/nsswitch.conf; mkdir /usr/lib/rc/init.d; mv /etc/init.d/daemon /usr/lib/rc/init.d/far")
	h.Conf("far", "netns=vpn")
	kit.Equal(t, "script elsewhere", h.check("rc-netns check far").ids(), "")
	h.Sh("rc-service far start")
	kit.Equal(t, "script elsewhere", h.where(h.daemon()), h.inside())

	// From inside it sees what it sees from outside.
	h.Sh("ip netns add mgmt; echo nameserver 127.0.0.1 >/etc/resolv.conf; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf")
	h.Conf("far", "netns=mgmt")
	for _, from := range []string{"", "netns-exec vpn ", "cd /etc; netns-exec vpn "} {
		kit.Equal(t, from+"check", h.check(from+"rc-netns check far").ids(), "resolver-loopback")
	}

	// Alpine's patches do no harm.
	h.Sh("echo '# RC_VRF_EXEC' >>/usr/lib/rc/sh/start-stop-daemon.sh")
	if r := h.check("rc-netns check"); !r.System.Patched {
		t.Error("Alpine's patches were not seen")
	}
}

// Of settings that nobody can tell nothing is said but that; and what a file does not
// name, it does not set, unless it reads another one.
func TestCheckOfWhatNobodyCanTell(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "ip link show lo || :", "netns=vpm", "netns_hid=/usr/games")
	r := h.check("rc-netns check")
	kit.Equal(t, "findings", r.ids()+fmt.Sprint(r.Services[0].Known, r.Services[0].Netns), "setting-unknown settings-unreadablefalse")
	kit.Contains(t, h.Run("rc-netns check").Stdout, "daemon: 2 findings (settings not known)")
	kit.Contains(t, h.Run(statusCommand+"daemon").Stdout, "settings unknown: /etc/conf.d/daemon: line 1: ")
	kit.Contains(t, h.Fails("netns-exec --service daemon true"), "/etc/conf.d/daemon: line 1: ")
	h.Conf("daemon", "ip link show lo || :")
	kit.Equal(t, "services", fmt.Sprint(len(h.check("rc-netns check").Services)), "0")
	h.Sh("ln -s daemon /etc/init.d/daemon.two")
	h.Conf("daemon", ". /etc/more")
	h.Conf("daemon.two", "echo $netns")
	for more, want := range map[string]string{"mkdir /run/more || :\n": "settings-unreadable", "netns=nowhere\n": "namespace-missing", "netns=vpn\n": ""} {
		h.Write("/etc/more", more)
		kit.Equal(t, "findings", h.check("rc-netns check daemon.two").ids(), want)
	}
}

func TestCheckCannotLook(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=vpn")
	for command, want := range map[string]string{
		"rc-netns check nosuch":      `check: service "nosuch" does not exist: there is neither /etc/init.d/nosuch nor /etc/conf.d/nosuch`,
		"rc-netns check daemon ../x": `check: bad service name "../x"`,
		"rc-netns check --json ''":   `check: bad service name ""`,
		"mount -t tmpfs none /usr/lib/rc; rc-netns check; code=$?; umount /usr/lib/rc; exit $code": "check: there is no OpenRC here: no openrc-run.sh in the directories where OpenRC keeps its shell files",
	} {
		out := h.Run(command)
		kit.Equal(t, command, fmt.Sprintf("%d %s%s", out.Code, out.Stderr, out.Stdout), "125 rc-netns: "+want+"\n")
	}

	// Without root it looks as far as it can, and says what it did not see.
	user := func(command string) checkReport {
		return h.check("setpriv --reuid daemon --regid daemon --clear-groups rc-netns " + command)
	}
	h.scripts("nest")
	h.Conf("nest", "vrf=mgmt")
	r := user("check daemon nest")
	kit.Equal(t, "findings", r.ids(), "")
	kit.Equal(t, "unchecked", strings.Join(append(r.Services[0].Unchecked, r.Services[1].Unchecked...), "\n"),
		"whether a start could enter: only root can find out\nVRF \"mgmt\", and whether a start could enter: only root can find out")
	h.Conf("daemon", "netns=nowhere")
	h.Sh("chmod 600 /etc/conf.d/nest /etc/rc.conf.d/50-netns.conf")
	r = user("check daemon nest")
	kit.Equal(t, "findings", r.ids(), "namespace-missing")
	kit.Equal(t, "unchecked", strings.Join(append(r.System.Unchecked, r.Services[1].Unchecked...), "\n"),
		"/etc/rc.conf.d/50-netns.conf, and the OpenRC that reads it: permission denied\n/etc/conf.d/nest: permission denied")
}

// The link for the services of users, which TestUserServices shows at work.
func TestCheckUserServices(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, change := range []string{"rm", "rm -r /etc/user #", "ln -sf /dev/null", "cp --remove-destination /etc/fstab"} {
		h.Sh(": >/etc/fstab; " + change + " /etc/user/rc.conf.d/50-netns.conf")
		r := h.check("rc-netns check")
		kit.Equal(t, change, r.ids(), "user-dropin-missing")
		h.apply(r.findings()[0])
		kit.Equal(t, change, h.check("rc-netns check").ids(), "")
	}
	h.Sh("cp --remove-destination /etc/rc.conf.d/50-netns.conf /etc/user/rc.conf.d")
	kit.Equal(t, "a copy", h.check("rc-netns check").ids(), "")
}

// In a chroot that is no mount point nothing can be kept apart.
func TestCheckInChroot(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=vpn")
	h.Sh("mkdir -p /root/a; mount --rbind / /root/a; mkdir -p /root/a/var/b; cp -a /bin /sbin /lib* /etc /root/a/var/b/ 2>/dev/null; mkdir -p /root/a/var/b/usr /root/a/var/b/proc /root/a/var/b/run /root/a/var/b/sys /root/a/var/b/tmp /root/a/var/b/dev; for d in usr proc run sys dev; do mount --rbind /$d /root/a/var/b/$d; done")
	const root = "/root/a/var/b"
	r := h.check("chroot " + root + " rc-netns check")
	kit.Equal(t, "findings", r.ids(), "start-fails")
	kit.Contains(t, h.Fails("chroot "+root+" rc-service daemon start"), r.findings()[0].What)
	kit.Contains(t, r.findings()[0].What, "mount --rbind DIR DIR")
	h.Sh(strings.ReplaceAll("mount --rbind DIR DIR", "DIR", root))
	kit.Equal(t, "findings", h.check("chroot "+root+" rc-netns check").ids(), "")
	h.Sh("chroot " + root + " rc-service daemon start")
	kit.Equal(t, "the daemon", h.where(h.daemon()), h.inside())
}

// On a terminal there are colours, unless somebody minds, and lines end where
// it ends.
func TestCheckOnATerminal(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=nowhere")
	terminal := func(env string) string { return h.onTerminal(50, env+" rc-netns check daemon; echo status $?") }
	coloured, plain := terminal("TERM=xterm"), terminal("TERM=dumb")
	kit.Contains(t, coloured, "daemon: \x1b[1;31m1 finding\x1b[0m (netns nowhere)")
	kit.Equal(t, "with NO_COLOR", terminal("TERM=xterm NO_COLOR=1"), plain)
	kit.Equal(t, "without its colours", regexp.MustCompile("\x1b\\[(1;3[123]|0)m").ReplaceAllString(coloured, ""), plain)
	// Elsewhere a line is a line.
	h.check("TERM=xterm rc-netns check")
}

// The example in the manual, typed in.
func TestCheckManual(t *testing.T) {
	t.Parallel()
	const first = "# rc-netns check\n"
	_, example, _ := strings.Cut(kit.Read(t, "../../man/rc-netns.8"), first)
	example, _, _ = strings.Cut(example, ".Ed\n")
	h := boot(t, "dash", true)
	h.Sh(`rm /etc/init.d/*; printf '#!/sbin/openrc-run\n' >/etc/init.d/sshd; chmod 755 /etc/init.d/sshd; cp /etc/init.d/sshd /etc/init.d/chronyd`)
	h.Conf("sshd", "netns=vpn")
	h.Conf("chronyd", "netns=vpm")
	session := ""
	for line := range strings.Lines(first + example) {
		if command, typed := strings.CutPrefix(line, "# "); typed {
			session += line + h.onTerminal(66, strings.TrimSpace(command))
		}
	}
	version := h.check("rc-netns check").System.OpenRC
	kit.Equal(t, "the session", session, strings.ReplaceAll(first+example, "0.64.1", version))
}
