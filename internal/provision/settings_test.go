package provision

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/internal/wgquick"
)

func TestParseAddresses(t *testing.T) {
	for value, want := range map[string]string{
		"192.0.2.2/24 2001:db8::2/64":     "[192.0.2.2/24 2001:db8::2/64]",
		"\n\t192.0.2.2\n\t2001:db8::2\n":  "[192.0.2.2/32 2001:db8::2/128]",
		"null":                            "[]",
		"":                                "[]",
		"dhcp":                            `config_eth1: "dhcp" is not done here; run the client as a service with netns set, or in netns_post_up()`,
		"192.0.2.2 netmask 255.255.255.0": `config_eth1: "netmask" is not known here; give addresses alone, such as 192.0.2.2/24, or do the rest in netns_post_up()`,
		"192.0.2.2/24 null":               `config_eth1: "null" is not known here; give addresses alone, such as 192.0.2.2/24, or do the rest in netns_post_up()`,
		"192.0.2.256/24":                  `config_eth1: "192.0.2.256/24" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
		"192.0.2.2/33":                    `config_eth1: "192.0.2.2/33" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
		"fe80::1%eth1/64":                 `config_eth1: "fe80::1%eth1/64" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
		"fe80::1%eth1":                    `config_eth1: "fe80::1%eth1" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
		"224.0.0.1/4":                     `config_eth1: "224.0.0.1/4" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
		"0.0.0.0/0":                       `config_eth1: "0.0.0.0/0" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
		"::ffff:192.0.2.2/96":             `config_eth1: "::ffff:192.0.2.2/96" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
		"eth1":                            `config_eth1: "eth1" is no address; write one as 192.0.2.2/24 or 2001:db8::2/64`,
	} {
		addresses, err := ParseAddresses("eth1", value)
		got := fmt.Sprint(addresses)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestParseRoutes(t *testing.T) {
	for value, want := range map[string]string{
		"default via 192.0.2.1":                            "{To:0.0.0.0/0 Via:192.0.2.1 Src:invalid IP Metric:0 Table:0 OnLink:false}",
		"\n# the way out\n default via 2001:db8::1 # v6\n": "{To:::/0 Via:2001:db8::1 Src:invalid IP Metric:0 Table:0 OnLink:false}",
		"default": "{To:0.0.0.0/0 Via:invalid IP Src:invalid IP Metric:0 Table:0 OnLink:false}",
		"default src 2001:db8::2 metric 5 table 0x10": "{To:::/0 Via:invalid IP Src:2001:db8::2 Metric:5 Table:16 OnLink:false}",
		"10.0.0.0/8 dev eth1 via 192.0.2.1 onlink\n198.51.100.7 table main": "{To:10.0.0.0/8 Via:192.0.2.1 Src:invalid IP Metric:0 Table:0 OnLink:true}" +
			"{To:198.51.100.7/32 Via:invalid IP Src:invalid IP Metric:0 Table:254 OnLink:false}",
		"":                         "",
		"default gw 192.0.2.1":     `routes_eth1: "gw" in "default gw 192.0.2.1" is not known here; there are via, dev, src, metric, table and onlink, and for the rest there is netns_post_up()`,
		"default via":              `routes_eth1: "default via" ends behind "via"; a value belongs there`,
		"default via 192.0.2.300":  `routes_eth1: bad via "192.0.2.300" in "default via 192.0.2.300"; give an address, such as 192.0.2.1 or 2001:db8::1`,
		"default dev eth2":         `routes_eth1: "default dev eth2" leads through "eth2"; a route belongs in the variable of its own interface`,
		"default metric -1":        `routes_eth1: bad metric "-1" in "default metric -1"; give a number, from 1`,
		"default table vpn":        `routes_eth1: bad table "vpn" in "default table vpn"; give a number, from 1`,
		"10.1.2.3/8":               `routes_eth1: "10.1.2.3/8" has bits behind its length, write 10.0.0.0/8, in "10.1.2.3/8"`,
		"-net 10.0.0.0/8":          `routes_eth1: "10.0.0.0/8" in "-net 10.0.0.0/8" is not known here; there are via, dev, src, metric, table and onlink, and for the rest there is netns_post_up()`,
		"blackhole":                `routes_eth1: "blackhole" is no network, such as 192.0.2.0/24 or default, in "blackhole"`,
		"10.0.0.0/8 via fe80::1":   `routes_eth1: fe80::1 is of another family than 10.0.0.0/8 in "10.0.0.0/8 via fe80::1"; write a route for each family`,
		"default onlink":           `routes_eth1: onlink without via in "default onlink"; it says that the gateway is on the link`,
		"default via fe80::1%eth1": `routes_eth1: bad via "fe80::1%eth1" in "default via fe80::1%eth1"; give an address, such as 192.0.2.1 or 2001:db8::1`,
	} {
		routes, err := ParseRoutes("eth1", "eth1", value)
		got := ""
		for _, r := range routes {
			type plain Route // without its String
			got += fmt.Sprintf("%+v", plain(r))
		}
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

const key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="

// wg writes a file of wg-quick.
func wg(t *testing.T, dir, name, address, allowed string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = %s\nDNS = 10.0.0.53, vpn.example\n[Peer]\nPublicKey = %s\nAllowedIPs = %s\n", key, address, key, allowed)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is wrong with the settings is found before anything is made.
func TestMistakesInSettings(t *testing.T) {
	t.Setenv("TMPDIR", "") // no name in a list has a blank
	dir := t.TempDir()
	one, two := wg(t, dir, "one.conf", "10.1.0.2/32", "0.0.0.0/0"), wg(t, dir, "two.conf", "10.2.0.2/24", "0.0.0.0/0, 10.2.0.9/32")
	for _, test := range []struct {
		settings Settings
		want     string
	}{
		{Settings{}, ""},
		{Settings{Interfaces: "eth1:wan", WireGuard: two, Veth: "vpn0:eth0", DNS: "192.0.2.53 2001:db8::53 x.example", Sysctl: "net.ipv4.ip_forward=1",
			Config: map[string]string{"wan": "192.0.2.2/24", "vpn0": "192.0.2.129/30", "eth0": "192.0.2.130/30", "two": "10.9.0.1"},
			Routes: map[string]string{"wan": "198.51.100.0/24 via 192.0.2.1 src 10.9.0.1", "vpn0": "default via 192.0.2.130 metric 9"}}, ""},
		{Settings{Interfaces: "lo", Veth: "x", WireGuard: "wg0", DNS: "1.2.3", Sysctl: "x"},
			"netns_interfaces: bad interface \"lo\": give the name of an interface, or two with a colon between them\n" +
				"netns_sysctl: bad sysctl \"x\": write it as KEY=VALUE, without blanks around the equals sign\n" +
				"netns_veth: bad veth pair \"x\": give two names of interfaces with a colon between them, the one on the host's network first\n" +
				"netns_wireguard: bad WireGuard file \"wg0\": call it like the interface, with .conf behind that, as /etc/wireguard/wg0.conf is\n" +
				"netns_dns: bad DNS \"1.2.3\": give the address of a name server, or a domain to search\n"},
		{Settings{WireGuard: "/nowhere/wg0.conf"}, "netns_wireguard: read WireGuard file: open /nowhere/wg0.conf: no such file or directory\n"},
		{Settings{Interfaces: "eth1", Veth: "host0:eth1"}, "netns_veth: two interfaces are called \"eth1\": give one of them another name\n"},
		{Settings{Interfaces: "eth1:one", WireGuard: one}, "netns_wireguard: two interfaces are called \"one\": give one of them another name\n"},
		{Settings{Interfaces: "eth1:a.b eth2:a_b"}, "netns_interfaces: config_a_b would be of both interfaces \"a.b\" and \"a_b\": give one of them another name\n"},
		{Settings{Interfaces: "eth1:wan", Veth: "eth1:eth0"}, "netns_veth: the host's interface \"eth1\" is moved in, and could not return: give the veth pair another name\n"},
		{Settings{Interfaces: "eth1", Config: map[string]string{"eth2": "dhcp"}, Routes: map[string]string{"eth1": "x"}},
			"config_eth2: config_eth2: no interface is called that; name it in netns_interfaces, netns_wireguard or netns_veth, or remove the setting\n" +
				"routes_eth1: routes_eth1: \"x\" is no network, such as 192.0.2.0/24 or default, in \"x\"\n"},
		{Settings{Interfaces: "eth1", Config: map[string]string{"eth1": "192.0.2.2/24"}, Routes: map[string]string{"eth1": "default via 198.51.100.1"}},
			"routes_eth1: routes_eth1: no address of interface \"eth1\" has the gateway 198.51.100.1 in its network: give it one in config_eth1, or say onlink if the gateway is there all the same\n"},
		{Settings{Interfaces: "eth1", Config: map[string]string{"eth1": "192.0.2.2/24"}, Routes: map[string]string{"eth1": "198.51.100.1\ndefault via 198.51.100.1"}}, ""},
		{Settings{Interfaces: "eth1", Routes: map[string]string{"eth1": "default via fe80::1\n10.0.0.0/8 via 192.0.2.1 onlink"}}, ""},
		{Settings{Interfaces: "eth1", Config: map[string]string{"eth1": "192.0.2.2/24"}, Routes: map[string]string{"eth1": "default via 192.0.2.1 src 192.0.2.3"}},
			"routes_eth1: routes_eth1: the source 192.0.2.3 is no address of an interface here: give it to one in its config_IFACE\n"},
		{Settings{WireGuard: one + " " + two}, "netns_wireguard: two routes lead to 0.0.0.0/0, through interface \"one\" and through \"two\": remove one, or give it another metric or table\n"},
		{Settings{WireGuard: one, Interfaces: "eth1", Config: map[string]string{"eth1": "192.0.2.2/24"}, Routes: map[string]string{"eth1": "default via 192.0.2.1 table main"}},
			"netns_wireguard: two routes lead to 0.0.0.0/0, through interface \"eth1\" and through \"one\": remove one, or give it another metric or table\n"},
		{Settings{WireGuard: one, Interfaces: "eth1", Config: map[string]string{"eth1": "192.0.2.2/24"}, Routes: map[string]string{"eth1": "default via 192.0.2.1 metric 9"}}, ""},
	} {
		spec, _, mistakes := test.settings.Spec("vpn")
		var got strings.Builder
		for _, m := range mistakes {
			fmt.Fprintf(&got, "%s: %v\n", m.Setting, m.Err)
		}
		if got.String() != test.want {
			t.Errorf("%+v:\n%swant\n%s", test.settings, &got, test.want)
		}
		if spec.Name != "vpn" {
			t.Errorf("%+v: name %q", test.settings, spec.Name)
		}
	}
	spec, _, _ := Settings{WireGuard: one + "\n" + wg(t, dir, "three.conf", "10.3.0.2", "192.0.2.0/24")}.Spec("vpn")
	if got := fmt.Sprint(spec.DNS); got != "{[10.0.0.53] [vpn.example]}" {
		t.Error(got)
	}
	if spec, _, _ = (Settings{WireGuard: one, DNS: "192.0.2.53"}).Spec("vpn"); fmt.Sprint(spec.DNS) != "{[192.0.2.53] []}" {
		t.Error(spec.DNS)
	}
}

// The routes are those that wg-quick makes.
func TestRoutesOfAFile(t *testing.T) {
	for text, want := range map[string]string{
		"Address = 10.0.0.2/24\n[Peer]\nAllowedIPs = 0.0.0.0/0, 10.0.0.7, 10.0.0.0/24, 10.0.0.0/16, ::/0": "[10.0.0.0/16 0.0.0.0/0 ::/0]",
		"Address = 10.0.0.2/32, fd00::2/64\n[Peer]\nAllowedIPs = 10.0.0.2/32, fd00::9, fd00:1::/64":       "[fd00:1::/64 10.0.0.2/32]",
		"Address = 10.0.0.2/24\nTable = off\n[Peer]\nAllowedIPs = 0.0.0.0/0":                              "[]",
		"Address = 10.0.0.2/24\nTable = 7\n[Peer]\nAllowedIPs = 0.0.0.0/0, 10.0.0.7/32":                   "[10.0.0.7/32 table 7 0.0.0.0/0 table 7]",
		"Address = 10.0.0.2/24\nTable = auto":                                                             "[]",
	} {
		text = strings.Replace("[Interface]\nPrivateKey = "+key+"\n"+text, "[Peer]\n", "[Peer]\nPublicKey = "+key+"\n", 1)
		config, err := wgquick.Parse("/f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(routesOf(config)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestResolvConf(t *testing.T) {
	dns, err := ParseDNS("192.0.2.53 2001:db8::53 a.example b.example")
	if err != nil {
		t.Fatal(err)
	}
	want := "# Of network namespace \"vpn\", made by its service. To have another one, make /etc/netns/vpn/resolv.conf.\n" +
		"nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example\n"
	if got := dns.file("vpn"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
