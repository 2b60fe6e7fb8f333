package openrc

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/internal/attack"
	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// The part of "make torture" that takes a real OpenRC.

// odd are words that somebody may hope a program of root prints, runs or follows.
var odd = []string{
	"", "0", "1", "yes", "vpn", "host", "-x", "--help", "..", "../..", "*", "%s%n", "'", `"`, `\`, "a\nb", "a b", "\t",
	"\x1b]0;x\x07", "\x1b[2J", "\u009b31m", "\x7f", "\u202ex", "\u2066", "\xff\xfe", "\xc2", "é",
	"$(touch /run/ran)", "`touch /run/ran`", ";touch /run/ran", "|touch /run/ran", "'$(touch /run/ran)'", "\ntouch /run/ran\n",
	"/", "/proc/1/ns/net", "/proc/self/fd/0", "/run/netns/vpn", "/dev/zero", "4294967296", "-1", "99999999999999999999",
}

func pick[V any](r *rand.Rand, some []V) V { return some[r.IntN(len(some))] }

// torture is a run of the attack of that name: rounds, until the time is over, which
// it shares with others.
func torture(t *testing.T, name string, shares int, round func(r *rand.Rand, n int)) {
	if *attack.Only != "" && *attack.Only != name {
		t.Skip("-only names another part")
	}
	if testing.Short() {
		*attack.Seed = 1 // what everybody runs is the same each time
	}
	r := rand.New(rand.NewPCG(*attack.Seed, uint64(crc32.ChecksumIEEE([]byte(t.Name())))))
	n := 0
	for until := time.Now().Add(attack.Length(t, 15*time.Second) / time.Duration(shares)); n == 0 || time.Now().Before(until) && !t.Failed(); n++ {
		round(r, n)
	}
	t.Logf("%d rounds", n)
	t.Logf("repeat: make torture TORTURE_ARGS='-seed %d -only %s'", *attack.Seed, name)
}

// With rc_env_allow="*" an environment reaches the drop-in. It claims what the hook
// hands over, of the very process, and what the drop-in keeps in variables: nothing
// may be other than without it, be it what is said, what of the script runs where,
// or what the daemon is.
func TestTortureHandOver(t *testing.T) {
	eachOf(t, binShells, func(t *testing.T, shell string) {
		h := boot(t, shell, true)
		h.Write("/etc/rc.conf.d/00-forged.conf", "rc_env_allow='*'\ncase \"${0##*/}\" in openrc-run.sh) echo $$ >>/run/forged ;; esac\n")
		names := strings.Fields(h.Sh("grep -ohE '_netns_[a-z_]+|OPENRC_NETNS_[A-Z]+' /usr/share/openrc-netns/*.sh /etc/rc.conf.d/50-netns.conf | sort -u"))
		services := map[string]string{"daemon.host": "", "daemon.vpn": "netns=vpn", "daemon.lock": "netns_lock=yes", "daemon.both": "netns=vpn\nnetns_lock=yes\nnetns_etc=no"}
		for service, conf := range services {
			h.Sh("ln -s daemon /etc/init.d/" + service)
			h.Conf(service, conf)
		}
		h.Sh("rc-update -u")
		// act does it, and tells all that can be seen of it.
		act := func(service, action, environment string) string {
			return h.Run("rm -f /run/trace.* /run/forged; echo 20000 >/proc/sys/kernel/ns_last_pid; exec 2>&1\n" +
				"env " + environment + " rc-service " + service + " " + action + " </dev/null; echo status $?\n" +
				"case " + action + " in *start) until pid=$(pgrep -x sleeper); do sleep 0.02; done; readlink /proc/$pid/ns/net; grep Cap /proc/$pid/status; grep ^0: /proc/$pid/cgroup ;; esac\n" +
				"sort -u /run/trace.*; pgrep -xc sleeper; ls /run/ran").Output
		}
		usual, numbers := map[string][]string{}, map[string][]int{}
		actions := []string{"start", "status", "reload", "restart", "stop", "status"}
		for service := range services {
			for _, action := range actions {
				usual[service] = append(usual[service], act(service, action, ""))
				number, _ := strconv.Atoi(strings.Fields(h.Run("cat /run/forged").Stdout + " 0")[0])
				numbers[service] = append(numbers[service], number)
			}
			kit.Contains(t, usual[service][0], "status 0\nnet:[")
		}
		torture(t, "handover", len(binShells), func(r *rand.Rand, n int) {
			service := pick(r, []string{"daemon.host", "daemon.vpn", "daemon.lock", "daemon.both"})
			for i, action := range actions {
				var environment []string
				for range 1 + r.IntN(8) {
					environment = append(environment, pick(r, names)+"="+claim(r, numbers[service][i], service))
				}
				words := quote(environment...)
				if diff := cmp.Diff(usual[service][i], act(service, action, words)); diff != "" {
					t.Fatalf("%s %s with %s\n-without it +with it:\n%s", service, action, words, diff)
				}
			}
		})
	})
}

// claim is what an environment says of a process that is to be.
func claim(r *rand.Rand, number int, service string) string {
	switch r.IntN(4) {
	case 0: // what the hook says, as docs and source have it
		text := fmt.Sprint(number+pick(r, []int{0, 0, 0, 1, -1}), " ", pick(r, []string{"asked", "unasked", "lost", ""}), " ")
		for _, name := range []string{"netns", "vrf", "netns_etc", "netns_hide", "netns_lock", "netns_keep_caps"} {
			text += "\n" + name + "=" + pick(r, []string{"", "", "", "vpn", "yes", "no"})
		}
		return text
	case 1:
		return pick(r, []string{"/", "/openrc." + service, "/" + service, "/..", "/openrc-netns." + service})
	case 2: // what the drop-in calls by name
		return pick(r, []string{"start", "stop", ":", "true", "eval", "_netns_confined", "touch /run/ran", "start stop start_pre"})
	}
	return pick(r, odd)
}

// hostilities are scripts of somebody who can write what is looked at: a user, the
// service's user, root in the service. WORD is an odd one, and of [[a|b]] one is
// taken. They have the process $daemon, its cgroup $cgroup, idle(), which leaves a
// process of a name, $pid, and inside(), which runs a command in the daemon's
// mounts.
var hostilities = []string{
	"idle WORD",
	"idle WORD; echo $pid >/run/daemon.pid",
	"idle WORD; echo $pid >$cgroup/cgroup.procs",
	"mkdir -p $cgroup/WORD/a/b; idle x; echo $pid >$cgroup/WORD/a/b/cgroup.procs",
	"idle WORD nsenter --net=/run/netns/vpn unshare -Urm; echo $pid >$cgroup/cgroup.procs",
	`idle WORD nsenter -t $daemon -n -m unshare -m --propagation private sh -c 'mount -t tmpfs none /etc; exec "$0" "$@"'; echo $pid >$cgroup/cgroup.procs`,
	"for i in $(seq 200); do idle WORD; echo $pid >$cgroup/cgroup.procs; done",
	"inside mount --bind [[/run/fifo /etc/resolv.conf|/proc/kmsg /etc/resolv.conf|/run/sparse /etc/resolv.conf|/proc /etc|/dev/zero /etc/hosts|/run/empty /run|/ /mnt]]",
	"inside umount -l [[/etc/resolv.conf|/sys|/proc|/run/nscd]]",
	"inside mount -t tmpfs none [[/etc|/run|/sys|/proc|/usr|/var]]",
	"inside sh -c 'for i in $(seq 1500); do mount --bind /run/empty [[/mnt|/etc/netns|/run/empty]]; done'",
	fuse + " $daemon [[/etc|/run|/sys|/usr|/]]",
	"path=[[/etc/netns/vpn/WORD|/etc/netns/vpn/resolv.conf|/run/daemon.pid|/run/netns/WORD|/run/openrc/options/daemon/netns|/run/openrc-netns/WORD|/run/openrc-netns/lan/setup|/etc/wireguard/wg0.conf]]; " + odds,
	`printf '[Interface]\nPrivateKey = %s\nAddress = %s\n[Peer]\nAllowedIPs = %s\n' WORD WORD WORD >/etc/wireguard/wg0.conf`,
	`printf 'netns=%s\n' WORD >/etc/conf.d/[[WORD|daemon]]`,
	`printf '%s\n' WORD >>/etc/conf.d/daemon`,
	"ln -s daemon /etc/init.d/WORD",
	"ip -n vpn link set lo alias WORD",
	"ip link add name o type veth peer name i netns vpn; ip -n vpn link set i name WORD; ip -n vpn link set WORD up",
	`ip -n vpn link set lo up; perl -e 'printf "route add 10.%d.%d.%d dev lo\n", $_ >> 16, $_ >> 8 & 255, $_ & 255 for 1 .. 15000' | ip -n vpn -batch -`,
	"ip netns add WORD",
	"for i in $(seq 200); do ip netns add n$i; done",
	"ip netns delete vpn",
	"kill -STOP $daemon",
}

// fuse mounts, in the mounts of the process that is its first argument, a FUSE whose
// server does not answer, at the second. Its process is in /run/fuse. It reads what it
// is asked (who waits then is beyond SIGKILL) if that is the third.
const fuse = `rm -f /run/fuse; fuse() { perl -e '$^F = 255; open F, "+<", "/dev/fuse" or die;
		system("nsenter -t $ARGV[0] -m mount -i -t fuse -o fd=" . fileno(F) . ",rootmode=40000,user_id=0,group_id=0,allow_other none $ARGV[1]") and die;
		sysread F, $q, 131072; ($size, $init, $unique) = unpack "LLQ", $q; syswrite F, pack "LlQLLLLSSLx40", 80, 0, $unique, 7, 31, 0, 0, 0, 0, 65536;
		open P, ">/run/fuse"; print P $$; close P; while ($ARGV[2]) { sysread F, $q, 131072 } sleep 600' $1 $2 $3 >/run/fuse.log 2>&1 & until [ -s /run/fuse ] || ! kill -0 $!; do sleep 0.1; done; }; fuse`

// odds put something else in the place of the file $path.
const odds = `mkdir -p "${path%/*}"; rm -rf "$path"; [[mkfifo "$path"|mkdir "$path"|: >"$path"|ln -s /nowhere "$path"|ln -s /dev/zero "$path"|` +
	`ln -s /proc/self/ns/net "$path"|ln -s . "$path"|truncate -s 1G "$path"|head -c 70000 /dev/urandom >"$path"|mknod "$path" c 1 5|` +
	`printf '%s\n1\n%s\n' WORD WORD >"$path"|: >"$path"; mount --bind /proc/1/ns/uts "$path"|: >"$path"; mount --bind /proc/1/ns/net "$path"]]`

var alternatives = regexp.MustCompile(`\[\[.*?\]\]`)

func hostility(r *rand.Rand) string {
	word := quote(pick(r, odd))
	if r.IntN(8) == 0 {
		word = quote(strings.Repeat("long", 60))
	}
	script := alternatives.ReplaceAllStringFunc(pick(r, hostilities), func(some string) string {
		return pick(r, strings.Split(some[2:len(some)-2], "|"))
	})
	return strings.ReplaceAll(script, "WORD", word) + "\n"
}

// What only looks ends, says what it has to say in characters that no terminal
// acts on, and leaves everything as it was, whatever others have made of what it
// looks at.
func TestTortureLooks(t *testing.T) {
	t.Parallel()
	torture(t, "looks", 1, func(r *rand.Rand, n int) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := bootRelease(t, machine.Options{Release: pick(r, releases), Timeout: 5 * time.Minute}, true)
			cgroup, mounted := h.cgroupOf("daemon")
			h.Sh(`mount -t devtmpfs none /dev 2>/dev/null; mkdir -p /etc/netns/vpn /etc/wireguard /run/empty /run/openrc-netns /run/nscd; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf
				echo nameserver 192.0.2.54 >/etc/resolv.conf; mkfifo /run/never /run/fifo; truncate -s 1G /run/sparse; ln -s netns /etc/init.d/netns.lan
				echo netns_wireguard=/etc/wireguard/wg0.conf >/etc/conf.d/netns.lan; echo netns=vpn >/etc/conf.d/daemon
				ln -s daemon /etc/init.d/daemon.two; echo netns=vpn netns_lock=yes >/etc/conf.d/daemon.two; rc-service daemon start; rc-service daemon.two start`)
			script := "cgroup=" + mounted + cgroup + "; daemon=$(cat /run/daemon.pid)\n" +
				`idle() { name=$1; shift; "$@" sh -c 'printf %s "$0" >/proc/$$/comm; exec 3<>/run/never; read -r x <&3' "$name" </dev/null >/run/log 2>&1 & pid=$!
					for i in $(seq 500); do [ ! -p /proc/$pid/fd/3 ] || break; sleep 0.01; done; }
				inside() { nsenter -t $daemon -m "$@"; }` + "\n"
			for range 1 + r.IntN(4) {
				script += hostility(r)
			}
			t.Logf("seed %d\n%s", *attack.Seed, script)
			h.Run(script)
			state := func() string {
				return h.Run(`exec 2>&1; cat /proc/1/mountinfo; find /run /etc /sys/fs/cgroup -xdev -printf '%p %y %s %T@\n' | sort | grep -v -e '^/run/log '
					for p in $(pgrep -f '^sh -c printf|sleeper 3600$'); do echo $p; grep ^0: /proc/$p/cgroup; cat /proc/$p/mountinfo; readlink /proc/$p/ns/*; done
					grep -e Udp: -e Tcp: /proc/net/snmp | cut -d' ' -f1-9; nsenter --net=/run/netns/vpn grep -e Udp: /proc/net/snmp`).Output
			}
			before := state()
			for _, look := range []string{
				"status", "status --json", "status daemon", "check", "check --json", "check daemon", "egress", "egress --json", "repair -n", "repair -n daemon",
			} {
				began := time.Now()
				result := h.Run("timeout -s KILL 40 rc-netns " + look + " </dev/null")
				said := fmt.Sprintf("rc-netns %s: status %d after %.1f s\n%q", look, result.Code, time.Since(began).Seconds(), result.Output)
				switch {
				case result.Code != 0 && result.Code != 1 && result.Code != 125:
					t.Errorf("a hang, or an end by a signal: %s", said)
				case !printable(result.Output):
					t.Errorf("for a terminal: %s", said)
				case strings.HasSuffix(look, "--json") && result.Code != 125 && !json.Valid([]byte(result.Stdout)):
					t.Errorf("no JSON: %s", said)
				case strings.Contains(result.Output, "goroutine ") || result.Code == 125 && result.Stderr == "":
					t.Errorf("no reason: %s", said)
				}
			}
			if diff := cmp.Diff(before, state()); diff != "" {
				t.Errorf("a look has changed something:\n%s", diff)
			}
			if h.Run("[ -e /run/ran ]").Code == 0 {
				t.Error("a word was executed")
			}
		})
	})
}

// printable reports whether a text has nothing in it that a terminal acts on.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' || r >= 0x7f && r <= 0x9f || r >= 0x200e && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	})
}
