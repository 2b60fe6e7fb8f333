// Package kernel tests what needs a kernel of a distribution: WireGuard, SCTP,
// DCCP, and programs of 32 bits, which neither User-Mode Linux nor every machine
// that runs the tests has. The kernel of Debian boots in QEMU, without hardware
// virtualization, on a file system in memory that has our programs and busybox.
package kernel

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// installed is what "make install DESTDIR=" has filled, and the probe.
var installed string

func TestMain(m *testing.M) {
	machine.Init()
	if flag.Parse(); testing.Short() {
		os.Exit(m.Run()) // each is skipped
	}
	os.Exit(kit.Main(m, &installed))
}

// tunnels are the modules that a tunnel needs, and those that they need, in
// order.
var tunnels = []string{
	"udp_tunnel", "ip6_udp_tunnel", "libchacha", "libcurve25519-generic",
	"poly1305-x86_64", "libpoly1305", "chacha-x86_64", "curve25519-x86_64",
	"libcurve25519", "libchacha20poly1305", "veth", "wireguard",
}

// patience is how long all of it may take, with the root file system to be
// made, on a machine that is busy with other tests.
const patience = 30 * time.Minute

// start is the beginning of /init. What is said goes to a port of its own: the
// kernel says things on its console at any moment, on a slow machine above all.
// The first root of a kernel cannot be left by pivot_root(2): there is another.
const start = `#!/bin/busybox sh
[ -e /bin/sh ] || /bin/busybox --install -s /bin
export PATH=/bin:/sbin
if [ ! -e /second ]; then
	mkdir /second; mount -t tmpfs second /second; mkdir /second/second
	cp -a [!ds]* /sbin /second; mkdir /second/dev /second/sys
	exec switch_root /second /init
fi
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
exec >/dev/ttyS1 2>&1
ip link set lo up
: >/etc/resolv.conf
load() { for module; do insmod /modules/$module.ko; done; }
section() { echo; echo "== $1"; }
`

// image is what a kernel has to boot from, beside busybox and the probe.
type image struct {
	programs string   // the directory of ours; the installed ones if empty
	modules  []string // that the script can load
	files    map[string]string
}

// boot runs a script in the kernel, and returns what it says below each of its
// sections.
func (i image) boot(t *testing.T, script string) map[string]string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the kernel is one for amd64")
	}
	kit.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	root := kit.Root(t, "kernel-bookworm", "bookworm",
		"--variant=extract", "--include=linux-image-cloud-amd64,qemu-system-x86,busybox-static")
	dir := t.TempDir()
	initrd, console := filepath.Join(dir, "initrd"), filepath.Join(dir, "console")
	i.write(t, initrd, root, start+script+"\nsection end\npoweroff -f\n")
	kernels, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		t.Fatalf("kernels: %q, %v", kernels, err)
	}
	// QEMU runs with the libraries that were made for it, not with this
	// machine's.
	usr := filepath.Join(root, "usr")
	libraries := filepath.Join(usr, "lib/x86_64-linux-gnu") + ":" + filepath.Join(root, "lib/x86_64-linux-gnu")
	qemu := exec.CommandContext(ctx, filepath.Join(root, "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries,
		filepath.Join(usr, "bin/qemu-system-x86_64"), "-L", filepath.Join(usr, "share/seabios"), "-L", filepath.Join(usr, "share/qemu"),
		"-m", "512", "-display", "none", "-no-reboot", "-nic", "none", "-monitor", "none",
		"-serial", "file:"+console, "-serial", "stdio",
		"-kernel", kernels[0], "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 nowatchdog rcupdate.rcu_cpu_stall_suppress=1")
	qemu.Env = []string{"QEMU_MODULE_DIR=" + filepath.Join(usr, "lib/x86_64-linux-gnu/qemu")}
	out, err := qemu.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r", "")
	t.Log(text)
	sections := map[string]string{}
	for _, section := range strings.Split(text, "\n== ")[1:] {
		name, rest, _ := strings.Cut(section, "\n")
		sections[name] = strings.TrimSpace(rest)
	}
	if _, ended := sections["end"]; err != nil || !ended {
		kernel, _ := os.ReadFile(console)
		t.Fatalf("the kernel has not come to the end: %v\n%s", err, kernel)
	}
	return sections
}

// write writes the file system, by way of a directory.
func (i image) write(t *testing.T, path, root, init string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range i.files {
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.WriteFile(name, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sbin := filepath.Join(installed, "usr/sbin")
	pack := exec.Command("sh", "-ec", `
		image=$1 root=$2 programs=$3 probe=$4; shift 4
		mkdir -p bin sbin etc/wireguard modules proc sys dev run tmp root
		cat >init; chmod 755 init
		cp "$root/bin/busybox" bin
		cp "$programs/rc-netns" "$programs/netns-exec" "$programs/netns-publish" "$probe" sbin
		for module; do
			found=$(find "$root/lib/modules" -name "$module.ko")
			cp "${found:-$module}" modules
		done
		find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1 >"$image"`,
		"sh", path, root, cmp.Or(i.programs, sbin), filepath.Join(sbin, "probe"))
	pack.Args = append(pack.Args, i.modules...)
	pack.Dir, pack.Stdin = dir, strings.NewReader(init)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// script has two namespaces with a tunnel between them, the encrypted packets
// of which are on the host's loopback.
const script = `
up() { rc-netns up --wireguard /etc/wireguard/wga.conf a; }
# The other end may be in the middle of something, for five seconds at a time.
ask() { for i in $(seq 100); do out=$(netns-exec $1 probe ask $2 2>&1) && break; sleep 1; done; echo "$out"; }
probe capture /run/capture & capture=$!
until [ -e /run/capture ]; do sleep 0.1; done
section start
up && rc-netns up --wireguard /etc/wireguard/wgb.conf b; echo "status $?"
ip link | grep -c wg
netns-exec b probe serve far & netns-exec a probe serve near &
ask a 10.0.0.2; ask a fd00::2; ask b 10.0.0.1
section inside
netns-exec a ip link show wga | grep -o 'mtu [0-9]*'
netns-exec a ip address show dev wga | grep -o 'inet.*scope global'
netns-exec a ip route; netns-exec a ip -6 route show default; netns-exec b ip route
netns-exec a cat /etc/resolv.conf
section journals
cat /run/openrc-netns/*/*
section sockets
grep -o ' 00000000:13[0-9A-F]* ' /proc/net/udp | sort; netns-exec a grep -c :13 /proc/net/udp
section again
up; echo "status $?"; ask a 10.0.0.2
section restart
rc-netns down --restart a; netns-exec a ip link | grep -c wg; up; ask a 10.0.0.2
section dry-run
rc-netns up -n --wireguard /etc/wireguard/wga.conf a; echo "status $?"
section port
rc-netns up --wireguard /etc/wireguard/wgc.conf c; echo "status $?"; ls -1 /run/netns
section deleted
netns-exec a ip link delete wga; netns-exec a probe ask 10.0.0.2; rc-netns down --restart a; up; ask a 10.0.0.2
section egress
rc-netns egress a
section stop
rc-netns down a; rc-netns down b; ls /run/netns /run/openrc-netns; ip link | grep -c wg
section killed
for t in 0.01 0.02 0.04 0.06 0.08 0.1 0.12 0.15 0.2 0.3; do
	rc-netns up --wireguard /etc/wireguard/wga.conf a >/dev/null 2>&1 & pid=$!; sleep $t; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
	# Killed before the namespace had its name, it is said to be gone.
	up >/run/said 2>&1 || cat /run/said; netns-exec a ip link | grep -c wga; rc-netns down a; ls /run/netns /run/openrc-netns 2>/dev/null; ip link | grep wg
done
section capture
kill $capture; wait $capture; sed 's/^lo [a-z]* //' /run/capture | sort | uniq -c
section zones
rc-netns up --veth v0:w0 --veth v1:w1 c && rc-netns up --wireguard /etc/wireguard/wgz.conf z
probe capture /run/capture & capture=$!
sleep 15; kill $capture; wait $capture; sed -n 's/^\(v[01]\) out icmp6 type 135 .* > ff02::1:ff00:\([67]\)$/\1 \2/p' /run/capture | sort -u
`

// A tunnel that the kernel makes is never seen on the host, and sends its
// encrypted packets there.
func TestWireGuard(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	private, public := [3]string{}, [3]string{}
	for i := range private {
		keys := kit.NewKeys()
		private[i], public[i] = keys.Private.String(), keys.Public.String()
	}
	peer := func(lines ...string) string {
		return strings.Join(append([]string{"[Interface]"}, lines...), "\n") + "\n"
	}
	b := peer("PrivateKey = "+private[1], "Address = 10.0.0.2/24, fd00::2/64", "ListenPort = 5002",
		"[Peer]", "PublicKey = "+public[0], "AllowedIPs = 10.0.0.1/32, fd00::1/128")
	said := image{modules: tunnels, files: map[string]string{
		"etc/wireguard/wga.conf": peer("PrivateKey = "+private[0], "Address = 10.0.0.1/32, fd00::1/128", "ListenPort = 5001", "DNS = 10.0.0.2, vpn.example", "MTU = 1400", "FwMark = 0x10",
			"[Peer]", "PublicKey = "+public[1], "AllowedIPs = 0.0.0.0/0, ::/0", "Endpoint = 127.0.0.1:5002", "PersistentKeepalive = 25"),
		"etc/wireguard/wgb.conf": b,
		"etc/wireguard/wgc.conf": b,
		"etc/wireguard/wgz.conf": peer("PrivateKey = "+private[2], "[Peer]", "PublicKey = "+public[0], "Endpoint = [fe80::6%v0]:1", "PersistentKeepalive = 1",
			"[Peer]", "PublicKey = "+public[1], "Endpoint = [fe80::7%v1]:1", "PersistentKeepalive = 1"),
	}}.boot(t, "load "+strings.Join(tunnels, " ")+script)
	const (
		near, far = "tcp: near\nudp: near", "tcp: far\nudp: far"
		isKept    = "rc-netns: network namespace \"a\" is kept, for the processes in it\n"
	)
	for section, want := range map[string]string{
		"start": "status 0\n0\n" + far + "\n" + far + "\n" + near,
		"inside": "mtu 1400\ninet 10.0.0.1/32 scope global\ninet6 fd00::1/128 scope global\ndefault dev wga scope link \ndefault dev wga  metric 1024 \n" +
			"10.0.0.0/24 dev wgb scope link  src 10.0.0.2 \n" +
			"# Of network namespace \"a\", made by its service. To have another one, make /etc/netns/a/resolv.conf.\nnameserver 10.0.0.2\nsearch vpn.example",
		"sockets": "00000000:1389 \n 00000000:138A \n0",
		"again":   "status 0\n" + far,
		"restart": isKept + "0\n" + far,
		"dry-run": "status 0",
		"port":    "rc-netns: /etc/wireguard/wgc.conf: ListenPort 5002 is in use on the host's network; give another one, or remove the line, for any port\nstatus 1\na\nb",
		"deleted": "probe: dial tcp 10.0.0.2:7: connect: network is unreachable\nrc-netns: interface \"wga\" is gone\n" + isKept + far,
		"stop":    "ls: /run/openrc-netns: No such file or directory\n/run/netns:\n0",
		"zones":   "v0 6\nv1 7",
		"killed":  strings.TrimSpace(strings.Repeat("1\n/run/netns:\n", 10)),
	} {
		kit.Equal(t, section, said[section], want)
	}
	kit.Contains(t, said["egress"], "tunnel only, through wga")
	if text := fmt.Sprint(said); strings.Contains(text, private[0]) || strings.Contains(text, private[1]) {
		t.Error("a key is shown")
	}
	ours := regexp.MustCompile(`(?m)^ *\d+ (udp 127\.0\.0\.1:500[12] > 127\.0\.0\.1:500[12]|icmp type 3 127\.0\.0\.1 > 127\.0\.0\.1|missed 0)$`)
	if rest := strings.TrimSpace(ours.ReplaceAllString(said["capture"], "")); rest != "" || !strings.Contains(said["capture"], "udp 127.0.0.1:5001 > 127.0.0.1:5002") {
		t.Errorf("captured:\n%s", said["capture"])
	}
}

// What a launch with everything, and netns-publish with its sandbox, say of
// themselves where the programs have words of 32 bits.
const narrow = `
section up
rc-netns up a; echo "status $?"; ls /run/netns
section launch
[ "$(netns-exec a readlink /proc/self/ns/net)" = "$(readlink /proc/self/ns/net)" ] || netns-exec a ls /sys/class/net
netns-exec /proc/self/ns/uts echo ran
section lock
netns-exec --lock a unshare -m true; netns-exec --lock a sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
netns-exec a unshare -m echo without
section vrf
netns-exec a ip link add red type vrf table 10; netns-exec a ip link set red up
netns-exec --lock --vrf red a probe sockets
section publish
netns-publish a 127.0.0.1:9091 & publish=$!
netns-exec a probe echo 9091 &
for i in $(seq 60); do netns-exec a probe crowd 9091 1 && probe crowd 9091 1 && break; sleep 1; done >/dev/null 2>&1
probe crowd 9091 200
grep -h -e Seccomp: -e CapEff -e NoNewPrivs /proc/$(pidof netns-publish | tr ' ' '\n' | head -n 1)/status
section down
kill $publish $(pidof probe); rc-netns down a; echo "status $?"; ls /run/netns
`

// Programs of 32 bits, on a kernel of 64.
func TestThirtyTwoBits(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	dir := t.TempDir()
	programs := build.Command("make", "-s", "build", "BIN="+dir)
	programs.Env = append(programs.Env, "GOARCH=386")
	if out, err := programs.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said := image{programs: dir, modules: []string{"vrf"}}.boot(t, "load vrf"+narrow)
	bound := ""
	for _, socket := range []string{"IPv4 TCP", "IPv4 UDP", "IPv4 raw", "IPv6 TCP", "IPv6 UDP", "IPv6 raw"} {
		bound += socket + ": \"red\"\n"
	}
	for section, want := range map[string]string{
		"up":     "status 0\na",
		"launch": "lo\nnetns-exec: \"/proc/self/ns/uts\" is a namespace of another type, not a network namespace",
		"lock": "unshare: unshare(0x20000): Operation not permitted\n" +
			"sh: can't create /proc/sys/net/ipv4/ip_forward: Read-only file system\nwithout",
		"vrf":     strings.TrimSpace(bound),
		"publish": "200 at once\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2",
		"down":    "status 0",
	} {
		kit.Equal(t, section, said[section], want)
	}
}
