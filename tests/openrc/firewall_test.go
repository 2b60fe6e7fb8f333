package openrc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// firewall is an init script with a start of its own, that calls no supervisor.
type firewall struct {
	script  string
	netns   string
	variant string // which iptables, as its conf.d file says it
	rules   string // those saved, about the address one
	load    string // loads rules from standard input
	look    string // prints the rules in force
	add     string // adds a rule about the address two
	drops   string // what the rules look like after panic
	one     string
	two     string
}

// "nft flush ruleset" takes the rules of iptables-nft as well, and the sets of
// ipset are in no table: what cannot share a namespace has its own.
var firewalls = []firewall{
	{
		script: "nftables", netns: "vpn",
		rules: "table inet guard {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t\tip saddr 192.0.2.7 drop\n\t}\n}\n",
		load:  "nft -f -", look: "nft list ruleset", add: "nft add rule inet guard input ip saddr 192.0.2.99 drop", drops: "policy drop",
		one: "192.0.2.7", two: "192.0.2.99",
	},
	{
		script: "iptables", netns: "vpn", variant: "IPTABLES_VARIANT=-legacy",
		rules: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.7/32 -j DROP\nCOMMIT\n",
		load:  "iptables-legacy-restore", look: "iptables-legacy-save", add: "iptables-legacy -A INPUT -s 192.0.2.99 -j DROP", drops: "INPUT DROP",
		one: "192.0.2.7", two: "192.0.2.99",
	},
	{
		script: "ip6tables", netns: "six", variant: "IPTABLES_VARIANT=-nft",
		rules: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -s 2001:db8::7/128 -j DROP\nCOMMIT\n",
		load:  "ip6tables-nft-restore", look: "ip6tables-nft-save", add: "ip6tables-nft -A INPUT -s 2001:db8::99 -j DROP", drops: "INPUT DROP",
		one: "2001:db8::7", two: "2001:db8::99",
	},
	{
		script: "ipset", netns: "vpn",
		rules: "create blocked hash:ip\nadd blocked 192.0.2.7\n",
		load:  "ipset restore", look: "ipset save", add: "ipset add blocked 192.0.2.99",
		one: "192.0.2.7", two: "192.0.2.99",
	},
}

// firewallScene is one of them on a machine.
type firewallScene struct {
	*host
	firewall
}

// saved is the file of saved rules.
func (f firewall) saved() string { return "/var/lib/" + f.script + "/rules-save" }

// configure writes the service's conf.d file.
func (s firewallScene) configure(lines ...string) {
	s.T.Helper()
	s.Conf(s.script, append(lines, s.variant)...)
}

// anew gives the service a namespace without rules, saved rules and settings.
func (s firewallScene) anew() {
	s.T.Helper()
	kit.Equal(s.T, s.script+" before the scene", s.state(s.script), "stopped")
	s.Sh("ip netns delete " + s.netns + " 2>/dev/null; ip netns add " + s.netns)
	s.Write(s.saved(), s.rules)
	s.configure("netns="+s.netns, "SAVE_ON_STOP=no")
}

// rc runs commands of the service, refused one that has to fail and say why.
func (s firewallScene) rc(commands ...string) {
	s.T.Helper()
	for _, command := range commands {
		s.Sh("exec 2>&1; rc-service " + s.script + " " + command)
	}
}

func (s firewallScene) refused(command, why string) {
	s.T.Helper()
	kit.Contains(s.T, s.Fails("rc-service "+s.script+" "+command), s.script+": "+why)
}

// within runs a script in the namespace.
func (s firewallScene) within(script string) string {
	s.T.Helper()
	return s.Sh("nsenter --net=/run/netns/" + s.netns + " sh -c '" + script + "'")
}

// leaves runs commands of the service, and asserts what rules are there then.
func (s firewallScene) leaves(want string, commands ...string) {
	s.T.Helper()
	s.rc(commands...)
	kit.Equal(s.T, fmt.Sprint(s.script, "'s rules after ", commands), s.about(s.within(s.look)), want)
}

func (s firewallScene) wantSaved(when, want string) {
	s.T.Helper()
	kit.Equal(s.T, s.script+"'s saved rules after "+when, s.about(s.Sh("cat "+s.saved())), want)
}

// about tells what rules are about.
func (s firewallScene) about(rules string) string {
	var about []string
	for _, mark := range []struct{ text, name string }{{s.one, "one"}, {s.two, "two"}, {s.drops, "panic"}} {
		if mark.text != "" && strings.Contains(rules, mark.text) {
			about = append(about, mark.name)
		}
	}
	return strings.Join(about, " ")
}

// firewallPlays are the orders of events. Each begins and ends with the service
// stopped.
var firewallPlays = []struct {
	name string
	play func(s firewallScene)
}{
	{"an ordinary life", func(s firewallScene) {
		s.leaves("one", "start")
		kit.Contains(s.T, s.Sh("rc-service "+s.script+" list"), s.one)
		s.within(s.add)
		s.rc("save")
		s.wantSaved("save", "one two")
		s.Write(s.saved(), s.rules)
		s.leaves("one", "reload")
		s.within(s.add)
		s.leaves("one", "restart")
		s.leaves("", "stop")
		s.wantSaved("stop", "one")
	}},
	{"a stop that saves", func(s firewallScene) {
		s.configure("netns=" + s.netns)
		s.rc("start")
		s.within(s.add)
		s.leaves("", "stop")
		s.wantSaved("stop", "one two")
	}},
	{"panic", func(s firewallScene) {
		if s.drops == "" {
			return
		}
		s.leaves("panic", "start", "panic")
		kit.Equal(s.T, "state after panic", s.state(s.script), "stopped")
		s.leaves("one", "start")
		s.leaves("panic", "stop", "panic")
	}},
	{"a stop of what was never started", func(s firewallScene) {
		s.within(s.load + " <" + s.saved())
		s.within(s.add)
		s.rc("stop", "zap")
		s.Sh("rc-service -D " + s.script + " stop")
		s.leaves("one two", "stop")
		s.rc("save")
		s.wantSaved("save", "one two")
	}},
	{"zap", func(s firewallScene) {
		s.leaves("one", "start", "zap", "stop")
		s.within(s.add)
		s.leaves("one", "start")
		s.leaves("", "stop")
	}},
	{"a start without the namespace", func(s firewallScene) {
		s.Sh("ip netns delete " + s.netns)
		missing := `network namespace "` + s.netns + `" does not exist; create it with: ip netns add ` + s.netns
		for _, command := range []string{"start", "restart", "save", "list"} {
			s.refused(command, missing)
		}
		s.rc("stop")
		kit.Equal(s.T, "state", s.state(s.script), "stopped")
		s.wantSaved("save", "one")
	}},
	{"the namespace deleted", func(s firewallScene) {
		s.rc("start")
		s.Sh("ip netns delete " + s.netns)
		gone := `the network namespace "` + s.netns + `" that the service was started in is gone`
		for _, command := range []string{"save", "reload", "list"} {
			s.refused(command, gone)
		}
		if s.drops != "" {
			s.refused("panic", gone)
		}
		s.refused("restart", "not stopped, because the start would fail")
		kit.Equal(s.T, "state", s.state(s.script), "started")
		s.rc("stop")
		kit.Equal(s.T, "state", s.state(s.script), "stopped")
		s.wantSaved("stop", "one")
	}},
	{"the namespace made anew", func(s firewallScene) {
		s.rc("start")
		anew := func() {
			s.Sh("ip netns delete " + s.netns + "; ip netns add " + s.netns)
			s.within(s.load + " <" + s.saved())
			s.within(s.add)
		}
		anew()
		s.refused("save", `the network namespace "`+s.netns+`" that the service was started in is gone`)
		s.leaves("one two", "stop")
		s.wantSaved("stop", "one")
		s.rc("start")
		anew()
		s.leaves("one", "restart")
		s.leaves("", "stop")
	}},
	{"netns removed from conf.d", func(s firewallScene) {
		s.rc("start")
		s.within(s.add)
		s.configure("SAVE_ON_STOP=yes")
		s.rc("save")
		s.wantSaved("save", "one two")
		s.leaves("", "stop")
		s.wantSaved("stop", "one two")
	}},
}

// hostRules are the rules and sets of the machine's own network, of every kind.
// The iptables programs put the date into comments, and each set that is made
// has a new seed for its hashes.
func (h *host) hostRules() string {
	h.T.Helper()
	return h.Sh(`for save in "nft list ruleset" iptables-nft-save ip6tables-nft-save iptables-legacy-save ip6tables-legacy-save "ipset save"; do
			echo "$save:"
			$save 2>&1
		done | sed '/^#/d; s/ initval 0x[0-9a-f]*//'`)
}

// firewallHost is a machine with rules of every kind of its own.
func firewallHost(t *testing.T, options machine.Options) *host {
	t.Helper()
	h := bootRelease(t, options, true)
	h.scripts("ipset", "iptables", "nftables")
	h.Sh(`ip netns add six; ln -s iptables /etc/init.d/ip6tables
		nft -f - <<-END
			table inet host {
				set blocked { type ipv4_addr; elements = { 198.51.100.7, 198.51.100.8 }; }
				chain input { type filter hook input priority 0; ip saddr @blocked drop; }
			}
		END
		iptables-nft -A INPUT -s 198.51.100.9 -j DROP
		ip6tables-nft -A INPUT -s 2001:db8::198.51.100.10 -j DROP
		iptables-legacy -A INPUT -s 198.51.100.11 -j DROP
		ip6tables-legacy -A INPUT -s 2001:db8::198.51.100.12 -j DROP
		ipset create host hash:ip
		ipset add host 198.51.100.13`)
	rules := h.hostRules()
	for _, rule := range []string{"198.51.100.7", "198.51.100.9/32", "c633:640a/128", "198.51.100.11/32", "c633:640c/128", "add host 198.51.100.13"} {
		kit.Contains(t, rules, rule)
	}
	return h
}

// TestFirewalls has the real programs change real rules: those of the namespace
// as they should, those of the host never, in every order of events.
func TestFirewalls(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		h := firewallHost(t, machine.Options{Release: release, Shell: shellOf[release]})
		before := h.hostRules()
		for _, event := range firewallPlays {
			for _, firewall := range firewalls {
				if firewall.script == "ip6tables" && release != "trixie" {
					continue // it is the same script
				}
				s := firewallScene{h, firewall}
				s.anew()
				event.play(s)
				if t.Failed() {
					t.Fatalf("in %s of %s", event.name, firewall.script)
				}
			}
			if diff := cmp.Diff(before, h.hostRules()); diff != "" {
				t.Fatalf("after %s the host's rules are others:\n%s", event.name, diff)
			}
		}

		// Without us each of them loads and flushes the host's: the test
		// can fail.
		h.Sh("rm /etc/rc.conf.d/50-netns.conf")
		for _, firewall := range firewalls {
			firewallScene{h, firewall}.anew()
			for _, command := range []string{"start", "stop"} {
				h.Sh("rc-service " + firewall.script + " " + command)
				after := h.hostRules()
				if after == before {
					t.Errorf("%s %s without the drop-in left the host's rules as they were", firewall.script, command)
				}
				before = after
			}
		}
	})
}
