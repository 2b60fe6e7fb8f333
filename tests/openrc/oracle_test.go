package openrc

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"openrc-netns/tests/internal/attack"
)

// spoilt are ways to mean netns=vpn for a service, by class, of which many do not do it:
// the text of its file in conf.d and, behind <<, what else was done.
var spoilt = map[string][]string{
	"plain":    {"netns=vpn\n", "netns=\"vpn\"", "\t export netns='vpn' # c\n"},
	"spelling": {"nents=vpn\n", "Netns=vpn\n", "NETNS=vpn\n", "netnss=vpn\n", "netns_=vpn\n", "export netn=vpn\n", "x=1; entns=vpn\n"},
	"blanks":   {"netns = vpn\n", "netns =vpn\n", "netns= vpn\n", "netns: vpn\n", "netns vpn\n", "nents = vpn\n", "netns = vpn\n:\n", "netns= vpn || :\n", "netns = \"vpn\" # c\n:\n"},
	"bytes":    {"netns=vpn\r\n", "x=1\r\nnetns=vpn\r\n", "\ufeffnetns=vpn\n", "\ufeff# c\nnetns=vpn\n", "netns=vpn\u00a0\n", "netns=\u201cvpn\u201d\n", "netns=vpn\x00\n", "#\x00\nnetns=vpn\n"},
	"quotes":   {"netns=\"vpn\n", "x='a\nnetns=vpn\n", "netns='vpn '\n", "netns=v\\pn\n", "netns=\"v\"pn\n", "x=\"\nnetns=vpn\n\"\n", "netns=v*n\n", "netns=vpn -v\n:\n"},
	"conditions": {"[ -e / ] && netns=vpn\n", "if [ -e /etc/rc.conf ]; then\n\tnetns=vpn\nfi\n", "netns=vpn\n[ -e /nowhere ] && x=1\n", "netns=vpn\n[ -e / ] && x=1\n", "case \"$RC_SVCNAME\" in daemon) netns=vpn ;; esac\n",
		"[ \"$RC_CMD\" = start ] && netns=vpn || :\n", "[ -n \"$RC_RUNLEVEL\" ] && netns=vpn\n", "[ -n \"$HOME\" ] || netns=vpn\n:\n"},
	"returns": {"return 0\nnetns=vpn\n", "x=1\n[ -e / ] && return\nnetns=vpn\n", "netns=vpn\nreturn 1\n", "netns=vpn\nreturn 0\nnetns=web\n", "netns=vpn\nexit 0\n", "exit 0\nnetns=vpn\n"},
	"variables": {"tunnel=vpn\nnetns=$tunnel\n", "netns=$tunnel\n", "netns=${tunnel:-vpn}\n", "netns=\"$(echo vpn)\"\n", "netns=`cat /etc/which`\n<<echo vpn >/etc/which", "netns=$(cat /etc/which)\n:\n", ": ${netns:=vpn}\n",
		"netns=vpn\nunset netns\n", "export netns=${tunnel}\n", "IFS=:\nn='v:n'\nnetns=vpn\n"},
	"files":     {". /etc/more\n<<echo netns=vpn >/etc/more", ". /etc/more\n", "netns=vpn\n[ ! -e /etc/more ] || . /etc/more\n<<echo netns=web >/etc/more"},
	"functions": {"f() { netns=vpn; }\nf\n", "netns() { :; }\nnetns=vpn\n", "f() {\n:\nnetns=vpn\n"},
	"twice":     {"netns=web\nnetns=vpn\n"},
	"more": {"echo hello\nnetns=vpn\n", "mkdir -p /run/more && netns=vpn\n", "echo x >/run/more.txt\nnetns=vpn\n", "ip link show lo >/dev/null && netns=vpn\n", "sleep 3\nnetns=vpn\n", "kill -0 1 && netns=vpn\n",
		"yes | head -n 100000\nnetns=vpn\n", "command -v nothing >/dev/null 2>&1 || netns=vpn\n"},
	"runlevels": {"netns=vpn\n<<echo x=1 >/etc/conf.d/daemon.$(rc-status -r)", "<<echo netns=vpn >/etc/conf.d/daemon.$(rc-status -r)"},
	"words":     {"netns=vpn\nnetns_etc=maybe\n", "netns=vpn\nnetns_hide=/nowhere\n", "netns=vpn\nnetns_lock=yse\n", "netns=vpn\nnetns_etc=no\n", "netns=vpn\nvrf=mgmt\n", "netns=/run/netns/vpn\n", "netns=../netns/vpn\n", "netns=VPN\n"},
	"states": {"netns=vpn\n<<ip netns delete vpn", "netns=vpn\n<<ip netns delete vpn; : >/run/netns/vpn", "netns=vpn\n<<ip netns delete vpn; : >/run/netns/vpn; mount --bind /proc/1/ns/net /run/netns/vpn",
		"netns=vpn\n<<ip netns delete vpn; : >/run/netns/vpn; mount --bind /proc/1/ns/uts /run/netns/vpn", "netns=vpn\n<<ip netns delete vpn; ln -s /nowhere /run/netns/vpn", "netns=vpn\n<<ip netns delete vpn; mkfifo /run/netns/vpn"},
	"etc": {"netns=vpn\n<<ln -s /nowhere /etc/netns/vpn/hosts", "netns=vpn\n<<mkfifo /etc/netns/vpn/hosts", "netns=vpn\n<<mkdir /etc/netns/vpn/hosts", "netns=vpn\n<<: >/etc/netns/vpn/hosts~",
		"netns=vpn\n<<echo 127.0.0.1 localhost >/etc/netns/vpn/hosts", "netns=vpn\n<<: >/etc/netns/vpn/.hosts.swp", "netns=vpn\n<<: >/etc/netns/vpn/nowhere.conf", "netns=vpn\n<<rmdir /etc/netns/vpn; : >/etc/netns/vpn"},
	"global": {"<<echo netns_default=vpn >>/etc/rc.conf", "<<echo netns_default = vpn >>/etc/rc.conf", "<<echo netns_defualt=vpn >>/etc/rc.conf", "<<printf 'f() {\\n' >>/etc/rc.conf",
		"netns=vpn\n<<echo 'x=\"a' >/etc/rc.conf.d/more.conf", "<<echo 'if [ -e / ]; then netns_default=vpn; fi' >/etc/rc.conf.d/more.conf"},
}

// around is what conf.d files hold besides.
var around = []string{
	"", "", "# A comment.\n", "daemon_opts=\"-x ${daemon_opts}\"\n", "rc_want=\"net\"\n", "[ \"$SVCNAME\" = mysql ] || x=1\n", "more=\"a\nb\"\n", "export PATH\n", "preup() {\n\t:\n}\n",
}

// Where check has nothing to say, a start succeeds, and what runs is where it was meant
// to be. Where it does not, check exits with 1; and netns-exec leads where the start
// did, or nowhere.
func TestTortureOracle(t *testing.T) {
	if *attack.Only != "" && *attack.Only != "oracle" {
		t.Skip("-only names another part")
	}
	t.Parallel()
	each, until := 34, time.Now() // cases of each shell
	switch {
	case os.Getenv("TORTURE_S") != "":
		until = until.Add(attack.Length(t, 0))
	case testing.Short():
		*attack.Seed = 1
	default:
		each = 334
	}
	classes := slices.Sorted(maps.Keys(spoilt))
	for nth, shell := range binShells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			h := boot(t, shell, true)
			h.Sh("ip netns add web; touch /etc/rc.conf; cp -a /etc/rc.conf* /root")
			random := rand.New(rand.NewPCG(*attack.Seed, uint64(nth)))
			seen, asMeant := map[string]int{}, map[string]int{}
			for i := 0; i < each || time.Now().Before(until); i++ {
				class := classes[(i*len(binShells)+nth)%len(classes)]
				conf, setup, _ := strings.Cut(pick(random, spoilt[class]), "<<")
				if !strings.HasPrefix(conf, "\ufeff") {
					conf = pick(random, around) + conf
				}
				if strings.HasSuffix(conf, "\n") {
					conf += pick(random, around)
				}
				seen[class]++
				if h.foretold(conf, setup) {
					asMeant[class]++
				}
			}
			t.Logf("seed %d: %v, of which as meant: %v", *attack.Seed, seen, asMeant)
		})
	}
}

// foretold judges one case, and reports whether the service was started where it was
// meant to be.
func (h *host) foretold(conf, setup string) bool {
	h.T.Helper()
	h.Sh("rm -rf /etc/conf.d/daemon* /etc/netns /etc/more /etc/which /run/more* /etc/rc.conf*; mkdir -p /etc/netns/vpn; cp -a /root/rc.conf* /etc; umount /run/netns/vpn; rm -f /run/netns/vpn; ip netns add vpn")
	if err := h.WriteFile("/etc/conf.d/daemon", 0o644, conf); err != nil {
		h.T.Fatal(err)
	}
	result := h.Run(`(:; ` + setup + `) >/run/log 2>&1; rm -f /run/openrc/deptree
		rc-netns check daemon >/run/check 2>&1; echo $?
		timeout 30 rc-service daemon start >/run/start 2>&1; echo $?
		rc-netns status daemon >/run/status 2>&1; echo $?
		readlink /proc/$(cat /run/daemon.pid || echo none)/ns/net || echo nowhere
		timeout 9 nsenter --net=/run/netns/vpn readlink /proc/self/ns/net || echo nowhere
		netns-exec --service daemon readlink /proc/self/ns/net 2>/run/exec || echo nowhere
		timeout 30 rc-service daemon stop >/run/stop 2>&1; pkill -x sleeper; rm -rf /run/daemon.pid /run/openrc/start*/daemon /run/openrc/options/daemon /run/openrc/exclusive/daemon
		cat /run/check /run/start /run/exec /run/status`)
	said := strings.Split(result.Stdout, "\n")
	if len(said) < 6 {
		h.T.Fatalf("%q after %q: %s", conf, setup, result.Output)
	}
	check, start, status, at, meant, exec := said[0], said[1], said[2], said[3], said[4], said[5]
	good := start == "0" && at == meant && at != "nowhere"
	problem := ""
	switch {
	case check != "0" && check != "1":
		problem = "check fails"
	case check == "0" && !good:
		problem = "check says ok"
	case check == "0" && status != "0":
		problem = "status does not say ok"
	case exec != "nowhere" && at != "nowhere" && exec != at:
		problem = "netns-exec leads elsewhere"
	}
	if problem != "" {
		h.T.Errorf("%s: %q after %q\n%s", problem, conf, setup, result.Output)
	}
	return good
}
