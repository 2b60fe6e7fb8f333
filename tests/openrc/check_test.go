package openrc

import (
	"encoding/json"
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

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// checkReport is what "rc-netns check --json" prints, as its manual has it.
type checkReport struct {
	Version int
	System  struct {
		OpenRC    string
		Directory string
		Patched   bool `json:"alpine_patches"`
		Findings  []checkFinding
		Unchecked []string
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
	Where      struct {
		Path string
		Line int
	}
	What, Why string
	Remedy    struct {
		Text     string
		Commands []string
		Edits    []struct {
			Path string
			Line int
			Text string
		}
	}
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

func (h *host) decode(out machine.Result) checkReport {
	h.T.Helper()
	var r checkReport
	decoder := json.NewDecoder(strings.NewReader(out.Stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		h.T.Fatalf("%v in:\n%s", err, out.Output)
	}
	return r
}

// check runs it, and makes sure that text, JSON and status say the same.
func (h *host) check(command string) checkReport {
	h.T.Helper()
	out := h.Run(command + " --json")
	r := h.decode(out)
	if strings.Contains(out.Stdout, "null") {
		h.T.Errorf("null in:\n%s", out.Stdout)
	}
	kit.Equal(h.T, "version", fmt.Sprint(r.Version), "1")
	text := h.Run(command)
	kit.Equal(h.T, "standard error", text.Stderr+out.Stderr, "")
	want := 0
	for _, f := range r.findings() {
		want = 1
		for _, part := range append([]string{f.What, f.Why, f.Remedy.Text, f.Where.Path, "[" + f.ID + "]"}, f.Remedy.Commands...) {
			kit.Contains(h.T, text.Stdout, part)
			if part == "" {
				h.T.Errorf("something is empty in %+v", f)
			}
		}
		for _, edit := range f.Remedy.Edits {
			kit.Contains(h.T, text.Stdout, fmt.Sprintf("%s:%d: %s", edit.Path, edit.Line, edit.Text))
		}
		word := map[string]string{"outside": "runs outside", "fails": "does not start", "warning": "warning"}[f.Effect]
		kit.Contains(h.T, text.Stdout, "\n  "+word+": "+f.What+"\n")
	}
	group := func(name string, findings []checkFinding, unchecked []string) {
		verdict := fmt.Sprint(len(findings), " findings (")
		switch {
		case len(findings) == 1:
			verdict = "1 finding ("
		case len(findings)+len(unchecked) == 0:
			verdict = "ok ("
		case len(findings) == 0:
			verdict = "ok so far ("
		}
		kit.Contains(h.T, "\n"+text.Stdout, "\n"+name+": "+verdict)
		for _, what := range unchecked {
			kit.Contains(h.T, text.Stdout, "not checked: "+what)
		}
	}
	group("system", r.System.Findings, r.System.Unchecked)
	for _, s := range r.Services {
		group(s.Name, s.Findings, s.Unchecked)
	}
	if out.Code != want || text.Code != want {
		h.T.Errorf("status %d with --json, %d without, want %d:\n%s", out.Code, text.Code, want, text.Output)
	}
	return r
}

var update = flag.Bool("update", false, "write the golden files")

// golden compares the findings that a command prints for programs with the file
// of this scene, one a line; with layout, all that it prints, and that on a
// terminal that is wide and on a narrow one too.
func (h *host) golden(dir, version, command string, layout bool) {
	h.T.Helper()
	printed := h.Run(command + " --json").Stdout
	printed = regexp.MustCompile(`\n *(.)`).ReplaceAllString(printed, " $1")
	printed = strings.ReplaceAll(printed, ` { "id"`, "\n{ \"id\"")
	head, findings, _ := strings.Cut(printed, "\n")
	switch {
	case layout:
		printed = h.Run(fmt.Sprintf("%[1]s; script -qec 'stty cols 50; %[1]s' /dev/null </dev/null", command)).Stdout + head + "\n" + findings
	case findings == "":
		return
	default:
		printed = findings
	}
	printed = strings.NewReplacer("\r", "", version, "VERSION").Replace(printed)
	name := regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(path.Base(h.T.Name()), "")
	file := filepath.Join("testdata", dir, name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(printed), 0o644); err != nil {
			h.T.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		h.T.Fatal(err)
	}
	if diff := cmp.Diff(string(want), printed); diff != "" {
		h.T.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// apply does what a remedy says, word for word.
func (h *host) apply(f checkFinding) {
	h.T.Helper()
	for _, command := range f.Remedy.Commands {
		h.Sh(command)
	}
	edits := f.Remedy.Edits
	if example := strings.Index(f.Remedy.Text, "as in "); example >= 0 && len(edits) == 0 {
		edits = append(edits, struct {
			Path string
			Line int
			Text string
		}{f.Where.Path, f.Where.Line, f.Remedy.Text[example+len("as in "):]})
	}
	for _, edit := range edits {
		text := h.Sh("cat " + edit.Path)
		lines := strings.Split(text, "\n")
		lines[edit.Line-1] = edit.Text
		h.Write(edit.Path, strings.Join(lines, "\n")+"\n")
		if strings.HasPrefix(edit.Path, "/etc/init.d/") {
			h.Sh("chmod 755 " + edit.Path)
		}
	}
	if strings.Contains(f.Remedy.Text, "install openrc-netns again") {
		if err := h.Install(installed); err != nil {
			h.T.Fatal(err)
		}
	}
}

// sourcing makes it one that goes by OpenRC.
const sourcing = `; sed -i 's|^case|. /lib/lsb/init-functions\n&|' /etc/init.d/lsb`

// checkScene is a setup in which something is wrong.
type checkScene struct {
	on      string // those of one word share a machine, others have one of their own
	release string // sid where it is empty
	before  string // a script
	conf    string // of the service
	service string // daemon where it is empty
	under   string // what check and rc-service are run with
	want    string // the findings, "effect id what", a line each
	after   string // a script, for a remedy that has no words to be taken literally
	stays   bool   // there is no remedy to apply here
	outside bool   // with the remedies applied, the service belongs on the host's network
	tunnel  bool   // there are wireguard-go, and the file of an interface wg0
	layout  bool   // what it prints for people is compared word for word too
}

// Each finding is made to happen. What check says of a start is what a start
// does; with the remedies applied word for word nothing is found, and the
// service runs inside.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	scenes := map[string]map[string]checkScene{}
	for name, test := range map[string]checkScene{
		"etc word":          {on: "conf.d", conf: "netns=vpn\nnetns_etc=copy", want: `fails setting-bad netns_etc="copy": use "bind" or "none"`},
		"lock word":         {on: "conf.d", conf: "netns=vpn netns_lock='maybe' x=1", want: `fails setting-bad netns_lock="maybe": use "yes" or "no"`},
		"capability":        {on: "conf.d", conf: "netns=vpn\nnetns_lock=yes\nnetns_lock_keep='net_admin, chown'", want: `fails setting-bad netns_lock_keep: "chown" is not a capability that a lock takes away: use bpf, checkpoint_restore, dac_read_search, mknod, net_admin, perfmon, sys_admin, sys_boot, sys_module, sys_ptrace or sys_rawio`},
		"misspelt":          {on: "conf.d", conf: "netns=vpn\nnetns_hid=/usr/games", want: `warning setting-unknown there is no setting "netns_hid"`},
		"only for a shell":  {on: "conf.d", conf: "tunnel=vpn\nnetns=$tunnel", want: `warning settings-unreadable "netns" takes its value from a variable`},
		"after a condition": {on: "conf.d", conf: "[ \"$SVCNAME\" = mysql ] || rc_provide=\"!mysql\"\nnetns=nowhere", want: `fails namespace-missing network namespace "nowhere" does not exist`},
		"below a return":    {on: "conf.d", conf: "[ \"$SVCNAME\" = mysql ] || rc_provide=\"!mysql\"\nreturn 0\n# more\nnetns=vpn", want: `outside setting-unreached "netns" is set below a return`},
		"for all":           {before: "printf 'rc_parallel=NO\\nnetns=vpn # all\\n' >/etc/rc.conf", outside: true, want: `warning setting-global "netns" is set for every service`},
		"for all, in a function": {before: "printf 'f() {\\nnetns=vpn\\n}\\nf\\n' >/etc/rc.conf.d/all.conf", after: "rm /etc/rc.conf.d/all.conf", outside: true,
			want: `warning setting-global "netns" is set for every service`},
		"for all, misspelt": {before: "echo netns_defualt=vpn >>/etc/rc.conf", want: `outside setting-unknown there is no setting "netns_defualt"`},
		"for all, in one":   {on: "conf.d", conf: "netns_default=vpn", want: `warning setting-misplaced "netns_default" is for all services, and set for one`},
		"script and conf.d": {service: "own-netns", conf: "export netns=mgmt", before: "ip netns add mgmt",
			want: `fails settings-conflict the init script changes "netns", and /etc/conf.d has settings too`},

		"bad name":        {on: "conf.d", conf: "netns=../vpn", want: `fails namespace-bad-name bad network namespace name "../vpn": give a name without a slash, or an absolute path`},
		"missing":         {on: "conf.d", conf: "netns=nowhere", want: `fails namespace-missing network namespace "nowhere" does not exist`},
		"missing path":    {on: "conf.d", conf: "netns=/proc/999999/ns/net", want: `fails namespace-missing network namespace "/proc/999999/ns/net" does not exist`},
		"missing by path": {on: "conf.d", conf: "netns=/run/netns/nowhere", want: `fails namespace-missing network namespace "/run/netns/nowhere" does not exist`},
		"stale":           {on: "names", conf: "netns=old", before: ": >/run/netns/old", want: `fails namespace-stale network namespace "old" is stale: /run/netns/old is an ordinary file`},
		"a directory":     {on: "names", conf: "netns=old", before: "mkdir /run/netns/old", want: `fails namespace-other "/run/netns/old" is not a network namespace`},
		"a FIFO":          {on: "names", conf: "netns=old", before: "mkfifo /run/netns/old", want: `fails namespace-other "/run/netns/old" is not a network namespace`},
		"another type": {on: "names", conf: "netns=old", before: ": >/run/netns/old; mount --bind /proc/self/ns/uts /run/netns/old",
			want: `fails namespace-other "/run/netns/old" is a namespace of another type, not a network namespace`},
		"the host's": {conf: "netns=old", before: ": >/run/netns/old; mount --bind /proc/1/ns/net /run/netns/old",
			want: `fails namespace-host network namespace "old" is the host's own`},
		"the host's, by a process": {conf: "netns=/proc/self/ns/../../1/task/1/ns/net", want: `fails namespace-host network namespace "/proc/self/ns/../../1/task/1/ns/net" is the host's own`},
		"a file":                   {conf: "netns=/etc/fstab", before: ": >/etc/fstab", want: `fails namespace-other "/etc/fstab" is not a network namespace`},

		"no script":             {service: "daemno", conf: "netns=vpn", outside: true, want: `fails script-missing there is no service "daemno": /etc/init.d/daemno does not exist`},
		"no script at all":      {service: "webserver", conf: "netns=vpn", outside: true, want: `fails script-missing there is no service "webserver": /etc/init.d/webserver does not exist`},
		"no link":               {service: "daemon.two", conf: "netns=vpn", want: `fails script-missing there is no service "daemon.two": /etc/init.d/daemon.two does not exist`},
		"not executable":        {conf: "netns=vpn", before: "chmod 644 /etc/init.d/daemon", want: "warning script-not-executable the init script cannot be executed"},
		"not executable, 0.56":  {release: "trixie", conf: "netns=vpn", before: "chmod 644 /etc/init.d/daemon", want: "fails script-not-executable the init script cannot be executed"},
		"LSB script, 0.45":      {service: "lsb", release: "bookworm", conf: "netns=vpn", before: lsbDaemon, want: `outside script-bypasses-openrc the init script begins with "#!/bin/sh" and not with #!/sbin/openrc-run`},
		"LSB script, 0.56":      {layout: true, service: "lsb", release: "trixie", conf: "netns=vpn\nnetns_lock=yes", before: lsbDaemon, want: `outside script-bypasses-openrc the init script begins with "#!/bin/sh" and not with #!/sbin/openrc-run`},
		"Debian's script, 0.45": {service: "lsb", release: "bookworm", conf: "netns=vpn", before: lsbDaemon + sourcing},
		"Debian's script, 0.64": {service: "lsb", conf: "netns=vpn", before: lsbDaemon + sourcing},
		"Debian's, not handed over": {service: "lsb", release: "bookworm", conf: "netns=vpn", before: lsbDaemon + sourcing + "; rm /lib/lsb/init-functions.d/50-openrc-netns",
			want: "outside lsb-dropin-missing the file that hands Debian's init scripts over to OpenRC is not installed"},
		"no header": {service: "lsb", release: "bookworm", conf: "netns=vpn", before: lsbDaemon + sourcing + "; sed -i '/^#[# ]/d' /etc/init.d/lsb",
			want: "fails script-no-header the init script is not one for openrc-run, and has no LSB header"},
		"runit":                {on: "conf.d", conf: "netns=vpn\nsupervisor=runit", want: "fails supervisor-runit runit would start the daemon outside"},
		"runit, of the script": {conf: "netns=vpn", before: `sed -i '3i supervisor="runit"' /etc/init.d/daemon`, want: "fails supervisor-runit runit would start the daemon outside"},
		"s6":                   {conf: "netns=vpn\nsupervisor=s6"},
		"s6, 0.56":             {release: "trixie", conf: "netns=vpn\nsupervisor=s6", want: "fails supervisor-s6 s6 would start the daemon outside"},
		"s6 and chroot":        {conf: "netns=vpn\nsupervisor=s6\nchroot=/srv", after: "sed -i /chroot/d /etc/conf.d/daemon", want: "fails supervisor-s6 s6 would start the daemon outside"},
		"s6 and a logger":      {conf: "netns=vpn\nsupervisor=s6\noutput_logger='cat | cat'", want: "fails supervisor-s6 s6 would start the daemon outside"},
		"s6, a script of its own": {service: "bare", conf: "netns=vpn\nsupervisor=s6", stays: true, want: "fails supervisor-s6 s6 would start the daemon outside",
			before: "printf '#!/sbin/openrc-run\n' >/etc/init.d/bare; mkdir -p /var/svc.d/bare; : >/var/svc.d/bare/run; chmod 755 /etc/init.d/bare /var/svc.d/bare/run"},

		"no target":          {on: "etc", conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn; echo x >/etc/netns/vpn/nowhere", want: `fails etc-target-missing cannot bind "/etc/netns/vpn/nowhere" over "/etc/nowhere", which does not exist`},
		"no directory":       {on: "etc", conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn/nowhere.d", want: `fails etc-target-missing cannot bind "/etc/netns/vpn/nowhere.d" over "/etc/nowhere.d", which does not exist`},
		"target to nowhere":  {on: "etc", conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn; echo x >/etc/netns/vpn/hosts; ln -sf /run/nowhere/hosts /etc/hosts", want: `fails etc-target-missing cannot bind "/etc/netns/vpn/hosts" over "/etc/hosts": it is a link to "/run/nowhere/hosts", which does not exist`},
		"another kind":       {on: "etc", conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn/hosts; : >/etc/hosts", want: `fails etc-kind cannot bind "/etc/netns/vpn/hosts" over "/etc/hosts": one is a directory and the other is not`},
		"source to nowhere":  {on: "etc", conf: "netns=vpn", before: "mkdir -p /etc/netns/vpn; : >/etc/hosts; ln -s /nowhere /etc/netns/vpn/hosts", want: `fails etc-source cannot bind "/etc/netns/vpn/hosts" over "/etc/hosts": stat /etc/netns/vpn/hosts: no such file or directory`},
		"no directory of it": {on: "etc", conf: "netns=vpn", before: "mkdir -p /etc/netns; : >/etc/netns/vpn", want: `fails etc-unreadable read the files of the namespace: open /etc/netns/vpn: not a directory`},

		"hide nothing":  {on: "conf.d", conf: `netns=vpn netns_hide="/nowhere /usr/games"`, want: `fails hide-missing cannot hide "/nowhere": no such file or directory`},
		"hide OpenRC":   {on: "conf.d", conf: `netns=vpn netns_hide=/usr/lib/rc`, after: "echo netns=vpn >/etc/conf.d/daemon", want: `fails start-fails cannot execute "/usr/lib/rc/sh/openrc-run.sh": no such file or directory`},
		"hide relative": {on: "conf.d", conf: `netns=vpn netns_hide=usr/games`, want: `fails hide-relative cannot hide "usr/games": give an absolute path`},
		"hide two":      {on: "conf.d", conf: `netns=vpn netns_hide="/no /where"`, want: "fails hide-missing cannot hide \"/no\": no such file or directory\nfails hide-missing cannot hide \"/where\": no such file or directory"},

		// The devices themselves are in the tests in the virtual machine.
		"no VRF":       {layout: true, on: "conf.d", conf: "netns=vpn\nvrf=mgmt", stays: true, want: `fails vrf-missing VRF "mgmt": no such device in this network namespace`},
		"no VRF, host": {on: "conf.d", conf: "vrf=mgmt", stays: true, want: `fails vrf-missing VRF "mgmt": no such device in this network namespace`},

		"no bpf":              {on: "kernel", conf: "netns=vpn\nnetns_lock=yes", under: "probe deny bpf ENOSYS", want: "fails kernel this kernel has no bpf(2): CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF are needed"},
		"no bpf on cgroups":   {on: "kernel", conf: "netns_lock=yes", under: "probe deny bpf EINVAL", outside: true, want: "fails kernel this kernel has no BPF programs on cgroups: CONFIG_CGROUP_BPF is needed"},
		"no cookie":           {on: "kernel", conf: "netns=vpn\nnetns_lock=yes", under: "probe deny getsockopt ENOPROTOOPT", want: "fails kernel this kernel does not tell network namespaces apart by cookie: VRF and lock need Linux 5.14 or later"},
		"no cgroup v2":        {conf: "netns_lock=yes", before: "umount -l /sys/fs/cgroup", under: "probe deny fsopen ENODEV", outside: true, want: "fails kernel cgroup v2 is not available: this kernel was built without CONFIG_CGROUPS"},
		"no mount namespaces": {on: "kernel", conf: "netns=vpn", under: "probe deny unshare EPERM", stays: true, want: "fails start-fails create a mount namespace: operation not permitted"},
		"no new sysfs":        {on: "kernel", conf: "netns=vpn", under: "probe deny fsopen EPERM", stays: true, want: "warning start-warns the kernel allows no new /sys here, as in a container: /sys still shows the devices of the caller's network namespace"},

		"no drop-in":             {conf: "netns=vpn", before: "rm /etc/rc.conf.d/50-netns.conf", want: "outside dropin-missing the drop-in is not installed"},
		"drop-in for root only":  {conf: "netns=vpn", before: "chmod 600 /etc/rc.conf.d/50-netns.conf", want: "warning dropin-unreadable only root can read the drop-in"},
		"drop-in of another one": {conf: "netns=vpn", before: "sed -i 's/in v1)/in v0)/' /etc/rc.conf.d/50-netns.conf", want: "fails dropin-version the drop-in is of a different version than openrc-netns-hook"},
		"drop-in a directory":    {conf: "netns=vpn", before: "cd /etc/rc.conf.d; rm 50-netns.conf; mkdir 50-netns.conf", want: "outside dropin-unreadable the drop-in cannot be read: is a directory"},
		"no hook":                {conf: "netns=vpn", before: "sed -i 's|/usr/sbin/openrc-netns-hook|/nowhere/openrc-netns-hook|' /etc/rc.conf.d/50-netns.conf /usr/share/openrc-netns/service.sh", want: "fails hook-missing /nowhere/openrc-netns-hook is missing, or cannot be executed"},
		"no library":             {conf: "netns=vpn", before: "rm -r /usr/share/openrc-netns", want: "fails library-missing /usr/share/openrc-netns/service.sh is missing"},
		"library of another one": {conf: "netns=vpn", before: "sed -i s/v1$/v0/ /usr/share/openrc-netns/script.sh", want: "fails library-missing /usr/share/openrc-netns/script.sh is of a different version than openrc-netns-hook"},
		"OpenRC of tomorrow":     {conf: "netns=vpn", before: "cd /usr/lib/rc/sh; cp -p openrc-run.sh stock; sed -i 's/sourcex/load/g' openrc-run.sh", after: "mv /usr/lib/rc/sh/stock /usr/lib/rc/sh/openrc-run.sh; sleep 1; touch /etc/conf.d/daemon", want: "fails seam-unknown this OpenRC starts services in a way that openrc-netns does not know"},

		"mdns": {conf: "netns=vpn", before: "mkdir /run/avahi-daemon; : >/run/avahi-daemon/socket; echo 'hosts: files mdns4_minimal [NOTFOUND=return] dns' >/etc/nsswitch.conf",
			want: "warning resolver-socket the service can ask avahi-daemon, which resolves names on the host's network"},
		"resolved": {conf: "netns=vpn netns_hide='/usr/games'", before: "mkdir -p /run/systemd/resolve; : >/run/systemd/resolve/io.systemd.Resolve; echo 'hosts: files resolve' >/etc/nsswitch.conf",
			want: "warning resolver-socket the service can ask systemd-resolved, which resolves names on the host's network"},
		"loopback": {conf: "netns=vpn", before: "printf 'search x\nnameserver 127.0.0.53\n' >/etc/resolv.conf", want: "warning resolver-loopback the service is to ask the resolver on 127.0.0.53, which does not exist in its network namespace"},
		"loopback, none": {layout: true, conf: "netns=vpn\nnetns_etc=none", before: "echo nameserver ::1 >/etc/resolv.conf",
			want: "warning resolver-loopback the service is to ask the resolver on ::1, which does not exist in its network namespace"},

		"interface": {service: "netns.lan", before: "ln -s netns /etc/init.d/netns.lan", conf: "netns_interfaces='a:b:c'", outside: true,
			want: `fails interface-bad bad interface "a:b:c": give the name of an interface, or two with a colon between them`},
		"sysctl": {service: "netns.lan", before: "ln -s netns /etc/init.d/netns.lan", conf: "netns_sysctl='net.ipv4.ip_forward=1 kernel.hostname=x'", outside: true,
			want: `fails sysctl-bad bad sysctl "kernel.hostname": it does not belong to a network namespace, those begin with "net."`},
		"interface, of the namespace": {conf: "netns=lan", before: "ln -s netns /etc/init.d/netns.lan; echo netns_interfaces=a:b:c >/etc/conf.d/netns.lan",
			want: `fails interface-bad bad interface "a:b:c": give the name of an interface, or two with a colon between them`},
		"veth": {on: "maker", conf: "netns_veth='a b:c'", want: `fails veth-bad bad veth pair "a": give two names of interfaces with a colon between them, the one on the host's network first`},
		"dns":  {on: "maker", conf: "netns_dns='192.0.2.53 1.2.3'", want: `fails dns-bad bad DNS "1.2.3": give the address of a name server, or a domain to search`},
		"wireguard, no path": {on: "maker", tunnel: true, conf: "netns_wireguard='wg0 /etc/wireguard/wg0.conf'",
			want: `fails wireguard-bad bad WireGuard file "wg0": call it like the interface, with .conf behind that, as /etc/wireguard/wg0.conf is`},
		"wireguard, no file": {on: "maker", tunnel: true, conf: "netns_wireguard=/etc/wireguard/wg1.conf", after: "mv /etc/wireguard/wg0.conf /etc/wireguard/wg1.conf",
			want: `fails wireguard-file read WireGuard file: open /etc/wireguard/wg1.conf: no such file or directory`},
		"wireguard, bad lines": {on: "maker", tunnel: true, conf: "netns_wireguard=/etc/wireguard/wg0.conf", before: "sed -i '2iPostUp = iptables -A x\\nMTU = x' /etc/wireguard/wg0.conf",
			after: "sed -i /PostUp/d /etc/wireguard/wg0.conf; sed -i /MTU/d /etc/wireguard/wg0.conf",
			want:  "fails wireguard-file \"PostUp\" is a command, and none of a file like this is run\nfails wireguard-file bad MTU \"x\""},
		"wireguard, readable": {on: "maker", service: "daemon", tunnel: true, conf: "netns=lan", before: "chmod 644 /etc/wireguard/wg0.conf; chmod 755 /etc/wireguard; echo netns_wireguard=/etc/wireguard/wg0.conf >/etc/conf.d/netns.lan",
			want: "warning wireguard-readable everybody can read it, and the keys in it"},
		"wireguard, two peers": {on: "maker", service: "daemon", tunnel: true, conf: "netns=lan", after: "sed -i '$d' /etc/wireguard/wg0.conf",
			before: "printf '[Peer]\nPublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=\nAllowedIPs = 0.0.0.0/0\n' >>/etc/wireguard/wg0.conf; echo netns_wireguard=/etc/wireguard/wg0.conf >/etc/conf.d/netns.lan",
			want:   "warning wireguard-peers AllowedIPs 0.0.0.0/0 is that of the peer on line 5 too"},
		"no wireguard": {on: "maker", tunnel: true, conf: "netns_wireguard=/etc/wireguard/wg0.conf", before: "mv /usr/bin/wireguard-go /root", after: "mv /root/wireguard-go /usr/bin",
			want: "fails wireguard-missing there is no WireGuard here: neither a kernel with the module wireguard nor the program wireguard-go"},
		"addresses": {on: "maker", conf: "netns_veth=host0:eth0\nconfig_eth0=dhcp", after: "sed -i s/dhcp/null/ /etc/conf.d/netns.lan", want: `fails address-bad "dhcp" is not done here`},
		"addresses of nobody": {on: "maker", conf: "netns_veth=host0:eth0\nconfig_eth1=null", after: "sed -i s/eth1/eth0/ /etc/conf.d/netns.lan",
			want: `fails address-bad no interface is called that`},
		"routes": {on: "maker", conf: "netns_veth=host0:eth0\nconfig_eth0=192.0.2.2/24\nroutes_eth0='default via 198.51.100.1'", after: "sed -i s/198.51.100/192.0.2/ /etc/conf.d/netns.lan",
			want: `fails route-bad no address of interface "eth0" has the gateway 198.51.100.1 in its network`},
		"clash": {on: "maker", conf: "netns_veth='host0:eth0 host1:eth0'", after: "sed -i s/host1:eth0/host1:eth1/ /etc/conf.d/netns.lan", want: `fails interface-clash two interfaces are called "eth0"`},
		"nothing to bind over": {on: "maker", service: "daemon", conf: "netns=lan", before: "echo netns_dns=192.0.2.53 >/etc/conf.d/netns.lan; rm -f /etc/resolv.conf",
			want: `fails etc-target-missing cannot bind "/run/openrc-netns/lan/resolv.conf" over "/etc/resolv.conf", which does not exist`},
		"namespace not executable": {conf: "netns=lan", before: "ln -s netns /etc/init.d/netns.lan; chmod 644 /etc/init.d/netns",
			want: "fails script-not-executable the init script cannot be executed"},
		"namespace to be made, no bpf": {conf: "netns=lan\nnetns_lock=yes", before: "ln -s netns /etc/init.d/netns.lan", under: "probe deny bpf ENOSYS",
			want: "fails kernel this kernel has no bpf(2): CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF are needed"},
		"pid file": {service: "daemon.two", conf: "netns=vpn", want: `warning pidfile-shared the pidfile /run/one.pid is also that of the service "daemon"`,
			before: "sed -i 's|^pidfile=.*|pidfile=/run/one.pid|' /etc/init.d/daemon; ln -s daemon /etc/init.d/daemon.two; rc-update add daemon default"},
		"pid file, of a copy": {service: "copy", conf: "netns=vpn", want: `warning pidfile-shared the pidfile /run/daemon.pid is also that of the service "daemon"`,
			before: "sed 's|^pidfile=.*|PIDFILE=\"/run/daemon.pid\"\\npidfile=$PIDFILE|' /etc/init.d/daemon >/etc/init.d/copy; chmod 755 /etc/init.d/copy; rc-service daemon start; rc-service daemon stop; rc-update add daemon default"},
		"by name": {service: "daemon.two", conf: "netns=vpn", want: `warning service-by-name the init script calls the service "daemon" by its name`,
			before: "printf 'panic()\n{\n\trc-service daemon stop\n}\n' >>/etc/init.d/daemon; ln -s daemon /etc/init.d/daemon.two; rc-update add daemon default"},
		"calls ip itself": {service: "web", want: `warning script-enters it calls "ip netns exec" itself`,
			before: `printf '#!/sbin/openrc-run\ncommand=ip\ncommand_args="netns exec vpn /usr/local/bin/sleeper 3600"\ncommand_background=yes\npidfile=/run/web.pid\n' >/etc/init.d/web; chmod 755 /etc/init.d/web`,
			after:  `sed -i -e s/=ip/=sleeper/ -e 's/"netns.*"/3600/' /etc/init.d/web; echo netns=vpn >/etc/conf.d/web`},
		"calls ip itself, conf.d": {on: "conf.d", conf: "netns=vpn # not by ip netns exec vpn\nstart_pre() {\n\teinfo \"as ip netns exec vpn would\"\n\t: \"$#\"; ip vrf exec mgmt true || :\n}",
			after: "echo netns=vpn >/etc/conf.d/daemon", want: `warning script-enters it calls "ip vrf exec" itself`},
		"calls ip itself, locked": {on: "conf.d", conf: "netns=vpn\nnetns_lock=yes\nstart_pre() {\n\tip netns exec \"$netns\" touch /run/entered || [ ! -e /run/entered ]\n}",
			after: "sed -i /lock/d /etc/conf.d/daemon", want: `warning script-enters it calls "ip netns exec" itself`},
		"expose a name": {service: "netns-expose.lan", outside: true, before: exposeScripts + `echo 'netns_expose="127.0.0.1:9091 web:80"' >/etc/conf.d/netns.lan`,
			want: `fails expose-bad "web:80": "web" is not an address (names are not looked up): write 127.0.0.1:80 or [::1]:80, for instance`},
		"expose nothing": {service: "netns-expose.lan", outside: true, before: exposeScripts, after: "echo netns_expose=127.0.0.1:9091 >/etc/conf.d/netns.lan",
			want: `fails expose-bad nothing of network namespace "lan" is to be reached`},
		"expose twice": {service: "netns-expose.lan", outside: true, after: "sed -i s/9091/9092/ /etc/conf.d/netns.lan",
			before: exposeScripts + `ln -s netns /etc/init.d/netns.vpn; ln -s netns-expose /etc/init.d/netns-expose.vpn
				for n in lan vpn; do echo netns_expose=127.0.0.1:9091 >/etc/conf.d/netns.$n; done; rc-service netns-expose.vpn start`,
			want: "fails expose-taken 127.0.0.1:9091 is in the list of the service \"netns-expose.vpn\" too\nfails expose-taken 127.0.0.1:9091 is in the list of the service \"netns-expose.lan\" too"},
		"expose without a service": {conf: "netns=lan", before: "ln -s netns /etc/init.d/netns.lan; echo netns_expose=127.0.0.1:9091 >/etc/conf.d/netns.lan",
			want: `warning expose-unserved netns_expose is set, and there is no service "netns-expose.lan"`},
		"expose inside": {layout: true, service: "netns-expose.lan", outside: true, conf: "netns=lan", before: exposeScripts + "echo netns_expose=127.0.0.1:9091 >/etc/conf.d/netns.lan",
			want: `fails setting-misplaced a service that exposes ports has the setting "netns"`},
		"namespace in itself": {service: "netns.lan", before: "ln -s netns /etc/init.d/netns.lan", conf: "netns=lan", outside: true,
			want: `fails setting-misplaced the service of a network namespace has the setting "netns"`},
	} {
		if test.on == "" {
			test.on = name
		}
		if test.on == "maker" && test.service == "" {
			test.service, test.outside = "netns.lan", true
		}
		if scenes[test.on] == nil {
			scenes[test.on] = map[string]checkScene{}
		}
		scenes[test.on][name] = test
	}
	// All of them, and none that the manual does not have.
	shown := map[string]bool{"user-dropin-missing": true, "vrf-bad-name": true, "vrf-other": true, "openrc-in-namespace": true, "namespace-waits": true} // elsewhere
	for _, tests := range scenes {
		for _, test := range tests {
			for line := range strings.Lines(test.want) {
				shown[strings.Fields(line)[1]] = true
			}
		}
	}
	kit.Equal(t, "findings in the manual", strings.Join(documented(t), " "), strings.Join(slices.Sorted(maps.Keys(shown)), " "))

	for on, tests := range scenes {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			var h *host
			for _, name := range slices.Sorted(maps.Keys(tests)) {
				test := tests[name]
				if h == nil {
					h = bootRelease(t, machine.Options{Release: test.release}, true)
				}
				t.Run(name, func(t *testing.T) {
					test.play(h.with(t))
				})
				if len(tests) > 1 {
					h.Sh(checkReset)
				}
			}
		})
	}
}

// documented are the findings that the manual has.
func documented(t *testing.T) []string {
	manual, err := os.ReadFile("../../man/rc-netns.8")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(manual), "These are the findings:\n")
	list, _, _ = strings.Cut(list, "\n.El\n")
	var ids []string
	for line := range strings.Lines(list) {
		if item, found := strings.CutPrefix(line, ".It Li "); found {
			ids = append(ids, strings.Fields(strings.ReplaceAll(item, " ,", ""))...)
		}
	}
	slices.Sort(ids)
	return ids
}

const exposeScripts = "ip link set lo up; ln -s netns /etc/init.d/netns.lan; ln -s netns-expose /etc/init.d/netns-expose.lan; "

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
	if b.on == "maker" {
		h.Sh("ln -sf netns /etc/init.d/netns.lan")
	}
	if b.tunnel {
		h.tunnel()
	}
	h.Sh("mkdir -p /usr/games; " + b.before)
	h.Conf(b.service, b.conf)
	// OpenRC does not see what changes in the second in which it looked.
	h.Sh("rm -f /run/openrc/deptree")
	under := ""
	if b.under != "" {
		under = strings.Replace(b.under, "probe", "/usr/sbin/probe", 1) + " "
	}
	check := under + "/usr/sbin/rc-netns check"
	service := under + "/usr/sbin/rc-service " + b.service + " "
	if b.release == "" {
		service = strings.Replace(service, "/usr/sbin/rc-service", "/usr/bin/rc-service", 1)
	}

	look := func() string {
		return h.Sh("rm -f /run/trace.*; cat /proc/self/mountinfo; find /sys/fs/cgroup /run -type d | sort; ls /tmp")
	}
	before := look()
	r := h.check(check)
	kit.Equal(t, "what check left", look(), before)
	var got []string
	effects := map[string]bool{}
	for _, f := range r.findings() {
		got = append(got, f.Effect+" "+f.ID+" "+f.What)
		effects[f.Effect] = true
	}
	kit.Equal(t, "findings", strings.Join(got, "\n"), b.want)
	h.golden("check", r.System.OpenRC, check, b.layout)
	if testing.Short() {
		return // what it prints, and not whether that is so
	}

	// And so it is.
	started := h.Run(service + "start")
	switch {
	case effects["fails"]:
		if started.Code == 0 {
			t.Errorf("it starts:\n%s", started.Output)
		}
		if message, quoted := strings.CutPrefix(r.findings()[0].Why, "a start is refused: "); quoted {
			kit.Contains(t, started.Output, b.service+": "+message+"\n")
		}
		h.noDaemon()
	case started.Code != 0:
		t.Fatalf("it does not start:\n%s", started.Output)
	case effects["outside"]:
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
		r = h.decode(h.Run(check + " --json"))
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
	netns := "vpn"
	for _, s := range r.Services {
		if s.Name == service && s.Netns != "" {
			netns = strings.TrimPrefix(s.Netns, "/run/netns/")
		}
	}
	return "net:[" + h.Sh("stat -L -c %i /run/netns/"+netns) + "]"
}

// tunnel brings wireguard-go, and a file of wg-quick.
func (h *host) tunnel() {
	h.T.Helper()
	program, err := userspace()
	if err == nil {
		err = h.WriteFile("/usr/bin/wireguard-go.new", 0o755, program)
	}
	if err != nil {
		h.T.Fatal(err)
	}
	h.Sh("mv /usr/bin/wireguard-go.new /usr/bin/wireguard-go") // one may run still
	mine, theirs := newKeys(), newKeys()
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.66.0.2/32\n\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.1:51820\n", b64(mine.private), b64(theirs.public))
	if err := h.WriteFile("/etc/wireguard/wg0.conf", 0o600, text); err != nil {
		h.T.Fatal(err)
	}
}

// What a remedy says can be pasted, whatever the names.
func TestCheckQuotes(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, test := range []struct{ service, before, conf, remedy string }{
		{"my web", "", "netns=vpn", "rm '/etc/conf.d/my web'"},
		{"it's", "", "netns=vpn", `rm '/etc/conf.d/it'\''s'`},
		{"daemon[1]", "cp -p daemon 'daemon[1]'; chmod 644 'daemon[1]'", "netns=vpn", "chmod 755 '/etc/init.d/daemon[1]'\nrc-update -u"},
		{"daemn[1]", "cp -p daemon 'daemon[1]'", "netns=vpn", "cat '/etc/conf.d/daemn[1]' >>'/etc/conf.d/daemon[1]'\nrm '/etc/conf.d/daemn[1]'"},
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
		got := f.Remedy.Commands
		for _, e := range f.Remedy.Edits {
			got = append(got, fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Text))
		}
		kit.Equal(t, f.ID, strings.Join(got, "\n"), test.remedy)
		h.apply(f)
		kit.Equal(t, f.ID+", with its remedy", h.check("rc-netns check").ids(), "")
		h.Sh("rm -rf /etc/conf.d/* /etc/init.d/daem*n[[]* /etc/netns '/etc/my dir'; : >/etc/resolv.conf; umount /run/netns/[!v]*; rm -f /run/netns/[!v]*")
	}
}

// Where check finds nothing, the service starts where it belongs.
func TestCheckFindsNothing(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`mkdir -p /etc/netns/vpn /usr/games /run/nscd; cp /etc/resolv.conf /etc/netns/vpn/
		ln -s daemon /etc/init.d/daemon.two; ln -s netns /etc/init.d/netns.lan
		echo 'hosts: files resolve mdns4 sss dns' >/etc/nsswitch.conf`)
	h.Conf("netns.lan", "netns_sysctl=net.ipv4.ip_forward=1", "netns_up() {", "\treadlink /proc/self/ns/net >/run/trace.up", "}")
	for _, test := range []struct{ name, conf, service, other string }{
		{"a name", "netns=vpn", "daemon", ""},
		{"a path", "netns=/run/netns/vpn", "daemon", ""},
		{"all of it", "netns='vpn' # comment\nexport netns_etc=bind\nnetns_hide=\"/usr/games /run/nscd\" netns_lock=on netns_lock_keep='net_admin SYS_PTRACE'", "daemon", ""},
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
		kit.Equal(t, test.name, h.where(h.daemon()), "net:["+h.Sh("stat -L -c %i /run/netns/"+netns)+"]")
		h.Sh("rc-service " + test.service + " stop")
		h.noDaemon()
	}

	// With a service its namespace's is looked at.
	h.Sh("rc-service netns.lan stop")
	h.Conf("daemon", "netns=lan", "vrf=mgmt")
	r := h.check("rc-netns check daemon")
	kit.Equal(t, "services", r.Services[0].Name+" "+r.Services[1].Name, "daemon netns.lan")
	kit.Equal(t, "unchecked", strings.Join(r.Services[0].Unchecked, "\n"), `VRF "mgmt": the service netns.lan makes its network namespace first`)

	// A function after the list leaves it certain, one that may change it does
	// not.
	h.Conf("plain", "more=$(echo --netns $netns)")
	h.Conf("netns.lan", "netns_interfaces=$(ls /sys/class/net)")
	r = h.check("rc-netns check netns.lan")
	kit.Equal(t, "unchecked", strings.Join(r.Services[0].Unchecked, "\n"), "netns_interfaces in /etc/conf.d/netns.lan: only a shell can read it")

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

// Of settings that only a shell can read nothing is said but that, and that
// they may be wrong; and status says the same.
func TestCheckOfWhatOnlyAShellCanRead(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "modprobe tun || :", "netns=vpm", "netns_hid=/usr/games")
	r := h.check("rc-netns check")
	kit.Equal(t, "findings", r.ids(), "setting-unknown settings-unreadable")
	s := r.Services[0]
	kit.Equal(t, "settings", fmt.Sprintf("%v %s", s.Known, s.Netns), "false ")
	kit.Equal(t, "not checked", strings.Join(s.Unchecked, "\n"), `whether /etc/conf.d/daemon:2 counts: network namespace "vpm" does not exist`)
	kit.Contains(t, h.Run("rc-netns check").Stdout, "daemon: 2 findings (settings not known)")
	kit.Contains(t, h.Run(statusCommand+"daemon").Stdout, "settings unknown: /etc/conf.d/daemon: line 1: ")
	kit.Contains(t, h.Fails("netns-exec --service daemon true"), "/etc/conf.d/daemon: line 1: ")

	// What the file does not name, it does not set.
	h.Conf("daemon", "modprobe tun || :")
	kit.Equal(t, "services", fmt.Sprint(len(h.check("rc-netns check").Services)), "0")
	h.Sh("ln -s daemon /etc/init.d/daemon.two")
	for _, conf := range []string{"modprobe tun || :", "preup() {\n\tcat <<end\nend\n}", "start_pre() {\n\t[ -n \"$IFACE\" ] && return 0\n}"} {
		h.Conf("daemon", conf)
		h.Conf("daemon.two", "netns=vpn")
		r = h.check("rc-netns check daemon.two")
		kit.Equal(t, conf, fmt.Sprintf("%s%v %s", r.ids(), r.Services[0].Known, r.Services[0].Netns), "true vpn")
		h.says("daemon.two", "stopped", "")
		kit.Contains(t, h.Sh(statusCommand+"daemon.two"), "  vpn ")
		kit.Equal(t, conf, h.Sh("netns-exec --service daemon.two readlink /proc/self/ns/net"), h.inside())
	}
	// Another file may set anything.
	h.Conf("daemon", ". /etc/more")
	kit.Equal(t, "findings", h.check("rc-netns check daemon.two").ids(), "settings-unreadable")
	kit.Contains(t, h.Run(statusCommand+"daemon.two").Stdout, "settings unknown: ")
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
	terminal := func(env string) string {
		return strings.ReplaceAll(h.Sh(env+" script -qec 'stty cols 50; rc-netns check daemon || echo status $?' /dev/null </dev/null"), "\r", "")
	}
	coloured := terminal("TERM=xterm")
	kit.Contains(t, coloured, "daemon: \x1b[1;31m1 finding\x1b[0m (netns nowhere)")
	plain := terminal("TERM=dumb")
	kit.Equal(t, "with NO_COLOR", terminal("TERM=xterm NO_COLOR=1"), plain)
	kit.Equal(t, "without its colours", strings.NewReplacer("\x1b[1;31m", "", "\x1b[1;32m", "", "\x1b[1;33m", "", "\x1b[0m", "").Replace(coloured), plain)
	kit.Contains(t, plain, "\n  does not start: network namespace \"nowhere\" does\n                  not exist\n") // golden files have more
	// Elsewhere a line is a line.
	kit.Contains(t, h.Run("TERM=xterm rc-netns check").Stdout, "\n    do:    create it; to have it at every boot, see the network namespace as a service in openrc-netns(7):\n")
}

// The example in the manual, typed in.
func TestCheckManual(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../man/rc-netns.8")
	if err != nil {
		t.Fatal(err)
	}
	const first = "# rc-netns check\n"
	_, example, _ := strings.Cut(string(manual), first)
	example, _, _ = strings.Cut(example, ".Ed\n")
	h := boot(t, "dash", true)
	h.Sh(`rm /etc/init.d/*; printf '#!/sbin/openrc-run\n' >/etc/init.d/sshd; chmod 755 /etc/init.d/sshd; cp /etc/init.d/sshd /etc/init.d/chronyd`)
	h.Conf("sshd", "netns=vpn")
	h.Conf("chronyd", "netns=vpm")
	session := ""
	for line := range strings.Lines(first + example) {
		if command, typed := strings.CutPrefix(line, "# "); typed {
			command = strings.TrimSpace(command)
			session += line + h.Sh("script -qc 'stty cols 66; "+command+"' /dev/null </dev/null") + "\n"
		}
	}
	session = strings.NewReplacer("\r", "", ">/etc/conf.d/chronyd\n\n", ">/etc/conf.d/chronyd\n").Replace(session)
	version := h.check("rc-netns check").System.OpenRC
	kit.Equal(t, "the session", session, strings.ReplaceAll(first+example, "0.64.1", version))
}
