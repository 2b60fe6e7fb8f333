package wgquick

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Keys of nobody.
const (
	private = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	public  = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	other   = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
	shared  = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE="
)

func key(text string) (k Key) {
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return Key(bytes)
}

func prefixes(words ...string) (found []netip.Prefix) {
	for _, word := range words {
		found = append(found, netip.MustParsePrefix(word))
	}
	return found
}

// Files of the kinds that providers hand out, and what wg-quick makes of them.
func TestFilesOfProviders(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want Config
	}{
		"both families, everything through it": {
			"[Interface]\n# Device: Nice Fox\nPrivateKey = " + private + "\nAddress = 10.64.0.2/32,fc00:bbbb::2/128\nDNS = 10.64.0.1\n\n" +
				"[Peer]\nPublicKey = " + public + "\nAllowedIPs = 0.0.0.0/0,::0/0\nEndpoint = 198.51.100.7:51820\n",
			Config{PrivateKey: key(private), Addresses: prefixes("10.64.0.2/32", "fc00:bbbb::2/128"), DNS: []netip.Addr{netip.MustParseAddr("10.64.0.1")},
				Peers: []Peer{{PublicKey: key(public), AllowedIPs: prefixes("0.0.0.0/0", "::/0"), Endpoint: Endpoint{"198.51.100.7", 51820, 10}, Line: 7}}},
		},
		"lower case, CRLF, a BOM, no blanks, comments behind values": {
			"\ufeff[interface]\r\nprivatekey=" + private + " # mine\r\naddress=10.2.0.2/32\r\ndns=10.2.0.1, 2001:db8::53 , vpn.example corp.example.\r\nmtu=1380\r\nfwmark=0xCA6C\r\nlistenport=51821\r\ntable=OFF\r\n" +
				"[PEER]\r\npublickey=" + public + "\r\npresharedkey=" + shared + "\r\nallowedips=10.0.0.5/8\r\nALLOWEDIPS=192.0.2.7\r\nendpoint=VPN.example.com:1\r\npersistentkeepalive=25\r\n",
			Config{PrivateKey: key(private), Addresses: prefixes("10.2.0.2/32"), DNS: []netip.Addr{netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("2001:db8::53")},
				Search: []string{"vpn.example", "corp.example."}, MTU: 1380, Mark: 0xca6c, ListenPort: 51821, Table: Table{Off: true},
				Peers: []Peer{{PublicKey: key(public), PresharedKey: key(shared), AllowedIPs: prefixes("10.0.0.0/8", "192.0.2.7/32"),
					Endpoint: Endpoint{"VPN.example.com", 1, 14}, Keepalive: 25 * time.Second, Line: 9}}},
		},
		"several peers, some without an endpoint, no newline at the end": {
			"[Interface]\nAddress = 192.0.2.1/24\nAddress = 2001:db8::1/64\nPrivateKey = " + private + "\nListenPort = 51820\nTable = 0x100\nFwMark = off\nSaveConfig = false\nPostUp =\nMTU =\n" +
				"[Peer]\nPublicKey = " + public + "\nAllowedIPs = 192.0.2.2/32, 2001:db8::2/128\n[Peer]\nPublicKey = " + other + "\nAllowedIPs =\nPersistentKeepalive = off\nEndpoint = [fe80::1%eth0.5]:51820",
			Config{PrivateKey: key(private), Addresses: prefixes("192.0.2.1/24", "2001:db8::1/64"), ListenPort: 51820, Table: Table{Number: 256},
				Peers: []Peer{{PublicKey: key(public), AllowedIPs: prefixes("192.0.2.2/32", "2001:db8::2/128"), Line: 11},
					{PublicKey: key(other), Endpoint: Endpoint{"fe80::1%eth0.5", 51820, 18}, Line: 14}}},
		},
		"an address in two sections, an endpoint of IPv6 without brackets": {
			"[Interface]\nPrivateKey = " + private + "\n[Peer]\nPublicKey = " + public + "\nEndpoint = 2001:db8::1:51820\n[Interface]\nAddress = 10.0.0.1\nTable = auto\n",
			Config{PrivateKey: key(private), Addresses: prefixes("10.0.0.1/32"), Peers: []Peer{{PublicKey: key(public), Endpoint: Endpoint{"2001:db8::1", 51820, 5}, Line: 3}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse("/etc/wireguard/wg0.conf", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			test.want.Path = "/etc/wireguard/wg0.conf"
			if diff := cmp.Diff(test.want, *got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
				cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each mistake is told with its line and what to do, and no key is in that.
func TestMistakes(t *testing.T) {
	const good = "[Interface]\nPrivateKey = " + private + "\n"
	const peer = good + "[Peer]\nPublicKey = " + public + "\n"
	for text, want := range map[string]string{
		"":                                      `/f: no section [Interface]; write it above PrivateKey and Address`,
		"PrivateKey = " + private:               `/f: line 1: "PrivateKey" before any section; write [Interface] above it`,
		"[Interface]\n":                         `/f: line 1: [Interface] has no "PrivateKey"; write it there`,
		"[Interface]\n" + private:               `/f: line 2: nothing that wg-quick knows; write a line as KEY = VALUE, and a comment behind #`,
		"[Interface]\nPrivateKey " + private:    `/f: line 2: nothing that wg-quick knows; write a line as KEY = VALUE, and a comment behind #`,
		"[Interface]\nwg0":                      `/f: line 2: no equals sign; write a line as KEY = VALUE, and a comment behind #`,
		"[Interface]\nPrivateKye = " + private:  `/f: line 2: unknown key "PrivateKye"; remove it; wg-quick(8) and wg(8) have the keys that there are`,
		"[Interface]\nPrivateKey = x" + private: `/f: line 2: "PrivateKey" is no key: it is not 32 bytes in base64; copy it again: 44 characters, the last one an equals sign`,
		"[Interface]\nPrivateKey =":             `/f: line 2: "PrivateKey" is no key: it is not 32 bytes in base64; copy it again: 44 characters, the last one an equals sign`,
		"[Interface]\nPrivateKey = " + strings.Repeat("A", 43) + "=":  `/f: line 2: "PrivateKey" is no key: it is all zeros; make one with: wg genkey`,
		good + "PrivateKey = " + private:                              `/f: line 3: "PrivateKey" a second time in one section; remove it here, or on line 2`,
		good + "Address = 10.0.0.300/32":                              `/f: line 3: bad address "10.0.0.300/32" in Address; write one as 192.0.2.1/32 or 2001:db8::1/128`,
		good + "Address = 10.0.0.1/33":                                `/f: line 3: bad address "10.0.0.1/33" in Address; write one as 192.0.2.1/32 or 2001:db8::1/128`,
		good + "Address = 10.0.0.1/24, ::ffff:192.0.2.1/96":           `/f: line 3: bad address "::ffff:192.0.2.1/96" in Address; write one as 192.0.2.1/32 or 2001:db8::1/128`,
		good + "Address = " + private:                                 `/f: line 3: bad address (not shown, as it may be a key) in Address; write one as 192.0.2.1/32 or 2001:db8::1/128`,
		good + "DNS = 1.1.1":                                          `/f: line 3: bad DNS "1.1.1"; give the address of a name server, or a domain to search`,
		good + "DNS = a..b":                                           `/f: line 3: bad DNS "a..b"; give the address of a name server, or a domain to search`,
		good + "ListenPort = 65536":                                   `/f: line 3: bad ListenPort "65536"; give a port number, up to 65535; or remove the line, for any port`,
		good + "FwMark = red":                                         `/f: line 3: bad FwMark "red"; give a number, up to 0xffffffff, or off`,
		good + "MTU = 1420 bytes":                                     `/f: line 3: bad MTU "1420 bytes"; give a number of bytes, from 576 to 65535`,
		good + "MTU = 1200\nAddress = 2001:db8::2/128":                `/f: line 3: MTU 1200 is too small for IPv6; give 1280 or more, or remove the IPv6 address`,
		good + "Table = vpn":                                          `/f: line 3: bad Table "vpn"; give the number of a routing table, or off, or auto`,
		good + "PreUp = ip rule add x":                                `/f: line 3: "PreUp" is a command, and none of a file like this is run; remove it; what it is to do inside belongs in netns_post_up() in the conf.d file of the namespace`,
		good + "postdown = iptables -D x":                             `/f: line 3: "PostDown" is a command, and none of a file like this is run; remove it; what it is to do inside belongs in netns_pre_down() in the conf.d file of the namespace`,
		good + "SaveConfig = true":                                    `/f: line 3: "SaveConfig" is refused: nothing writes to this file; remove it; what is to be kept, netns_pre_down() in the conf.d file of the namespace can save`,
		good + "Endpoint = 192.0.2.1:1":                               `/f: line 3: "Endpoint" in a section [Interface]; it belongs in [Peer]`,
		good + "[Wireless]\nssid = x":                                 `/f: line 3: unknown section "[Wireless]"; there are [Interface] and [Peer]`,
		good + "[Peer]\nAllowedIPs = ::/0":                            `/f: line 3: [Peer] has no "PublicKey"; write it there`,
		good + "[Peer]\nPublicKey = " + private[:40]:                  `/f: line 4: "PublicKey" is no key: it is not 32 bytes in base64; copy it again: 44 characters, the last one an equals sign`,
		peer + "Address = 10.0.0.1/32":                                `/f: line 5: "Address" in a section [Peer]; it belongs in [Interface]`,
		peer + "[Peer]\nPublicKey = " + public:                        `/f: line 5: the peer on line 3 has the same PublicKey; make one section of the two`,
		peer + "PresharedKey = x":                                     `/f: line 5: "PresharedKey" is no key: it is not 32 bytes in base64; copy it again: 44 characters, the last one an equals sign`,
		peer + "AllowedIPs = +10.0.0.0/8":                             `/f: line 5: bad address "+10.0.0.0/8" in AllowedIPs; write one as 192.0.2.0/24 or 2001:db8::/32`,
		peer + "Endpoint = vpn.example.com":                           `/f: line 5: Endpoint "vpn.example.com" has no port; write it as vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820`,
		peer + "Endpoint = 192.0.2.1:0":                               `/f: line 5: bad port "0" in Endpoint; give a number, from 1 to 65535`,
		peer + "Endpoint = 192.0.2.1:wireguard":                       `/f: line 5: bad port "wireguard" in Endpoint; give a number, from 1 to 65535`,
		peer + "Endpoint = 192.0.2.256:1":                             `/f: line 5: bad Endpoint "192.0.2.256:1"; write it as vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820`,
		peer + "Endpoint = [192.0.2.1]:1":                             `/f: line 5: bad Endpoint "[192.0.2.1]:1"; write it as vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820`,
		peer + "Endpoint = [2001:db8::1:1":                            `/f: line 5: bad Endpoint "[2001:db8::1:1"; write it as vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820`,
		peer + "Endpoint = http://vpn.example.com:1":                  `/f: line 5: bad Endpoint "http://vpn.example.com:1"; write it as vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820`,
		peer + "Endpoint = [fe80::1%\x1b[31mX]:1":                     `/f: line 5: bad zone "\x1b[31mX" in Endpoint; give the name of an interface behind an address of fe80::/10, as in [fe80::1%eth0]:51820`,
		peer + "Endpoint = [fe80::1%a234567890123456]:1":              `/f: line 5: bad zone "a234567890123456" in Endpoint; give the name of an interface behind an address of fe80::/10, as in [fe80::1%eth0]:51820`,
		peer + "Endpoint = [2001:db8::1%eth0]:1":                      `/f: line 5: bad zone "eth0" in Endpoint; give the name of an interface behind an address of fe80::/10, as in [fe80::1%eth0]:51820`,
		peer + "Endpoint = [fe80::1%eth0%]:1":                         `/f: line 5: bad zone "eth0%" in Endpoint; give the name of an interface behind an address of fe80::/10, as in [fe80::1%eth0]:51820`,
		good + "MTU = " + strings.Repeat("\x00 9", 50):                `/f: line 3: bad MTU "` + strings.Repeat(`\x00 9`, 20) + `"...; give a number of bytes, from 576 to 65535`,
		good + "#" + strings.Repeat(" ", MaxLine):                     `/f: line 3: longer than 262144 bytes; break it up: a peer may have several lines of AllowedIPs`,
		good + "Address = " + strings.Repeat("10.0.0.1,", 2000):       `/f: 2000 addresses, and the kernel looks through all of them for each; give the interface no more than 1000`,
		peer + "PersistentKeepalive = 25s":                            `/f: line 5: bad PersistentKeepalive "25s"; give a number of seconds, up to 65535, or off`,
		good + "MTU = x\n[Peer]\nPublicKey = " + public + "\nMTU = 1": "/f: line 3: bad MTU \"x\"; give a number of bytes, from 576 to 65535\n/f: line 6: \"MTU\" in a section [Peer]; it belongs in [Interface]",
	} {
		config, err := Parse("/f", []byte(text))
		if err == nil {
			t.Errorf("%q is read as %v", text, config)
			continue
		}
		if err.Error() != want {
			t.Errorf("%q:\n%s\nwant\n%s", text, err, want)
		}
	}
}

// What is wrong is told of the first twenty lines, in their order.
func TestManyMistakes(t *testing.T) {
	_, err := Parse("/f", []byte("[Interface]\n"+strings.Repeat("MTU = x\n", 10000)))
	lines := strings.Split(err.Error(), "\n")
	if want := "/f: line 22: there are more mistakes from here on; correct those above first"; len(lines) != 21 || lines[20] != want {
		t.Errorf("%d lines, the last one %s, want %s", len(lines), lines[len(lines)-1], want)
	}
}

// Wherever a key gets to by mistake, it is not printed.
func TestKeysAreNotPrinted(t *testing.T) {
	var names []string
	for name := range sections {
		names = append(names, name)
	}
	names = append(names, private, "x", "")
	for _, section := range []string{"", "[Interface]\n", "[Peer]\n", "[" + private + "]\n"} {
		for _, name := range names {
			for _, value := range []string{private, private[1:], "x" + private, private + ":51820", "[" + private + "]:1", private + "/32", " " + private + "," + private} {
				for _, between := range []string{" = ", "=", " ", ""} {
					config, err := Parse("/f", []byte(section+name+between+value+"\n"))
					if text := fmt.Sprintf("%v %+v %#v %v", config, config, config, err); strings.Contains(text, private[4:30]) {
						t.Fatalf("%q: %s", section+name+between+value, text)
					}
				}
			}
		}
	}
	config, err := Parse("/f", []byte("[Interface]\nPrivateKey="+private+"\n[Peer]\nPublicKey="+public+"\nPresharedKey="+shared))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, *config); strings.Contains(text, private[:8]) || strings.Contains(text, fmt.Sprint(config.PrivateKey[:])) {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

func TestPeersThatShareAddresses(t *testing.T) {
	config, err := Parse("/f", []byte("[Interface]\nPrivateKey="+private+"\n[Peer]\nPublicKey="+public+"\nAllowedIPs=10.0.0.0/8,192.0.2.0/24\n[Peer]\nPublicKey="+other+"\nAllowedIPs=10.1.2.3/8\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := "/f: line 8: AllowedIPs 10.0.0.0/8 is that of the peer on line 3 too; the last one has it: give it to one peer only"
	if got := config.Warnings.Error(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := fmt.Sprint(config.Peers[0].AllowedIPs, config.Peers[1].AllowedIPs); got != "[192.0.2.0/24] [10.0.0.0/8]" {
		t.Error(got)
	}
}

func TestFileName(t *testing.T) {
	for path, want := range map[string]string{"/etc/wireguard/wg0.conf": "wg0", "/x/se-mma_1+2=3.conf": "se-mma_1+2=3", "/a23456789012345.conf": "a23456789012345"} {
		if got, err := InterfaceName(path); got != want || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"wg0", "wg0.conf", "/etc/wireguard/wg0", "/.conf", "/..conf", "/lo.conf", "/a234567890123456.conf", "/wg 0.conf", "/wg:0.conf", "/wg0.conf/"} {
		if got, err := InterfaceName(path); err == nil {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "wg0.conf")
	write := func(mode os.FileMode, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	const good = "[Interface]\nPrivateKey = " + private + "\n"
	write(0o600, good)
	config, err := ReadFile(path)
	if err != nil || config.Name != "wg0" || len(config.Warnings) > 0 {
		t.Errorf("%v, %v", config, err)
	}
	write(0o644, good)
	if config, err = ReadFile(path); err != nil || config.Warnings.Error() != path+": everybody can read it, and the keys in it; fix it with: chmod 600 "+path {
		t.Errorf("%v, %v", config.Warnings, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if config, err = ReadFile(path); err != nil || len(config.Warnings) > 0 {
		t.Errorf("in a directory that is closed: %v, %v", config.Warnings, err)
	}
	write(0o600, good+strings.Repeat("#", MaxSize))
	for _, name := range []string{path, filepath.Join(dir, "no.conf"), "/dev/null.conf"} {
		if config, err := ReadFile(name); err == nil {
			t.Errorf("%s: %v", name, config)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[Interface]\nPrivateKey = " + private + "\nAddress = 10.0.0.1/8, ::1\nDNS=1.1.1.1,x\nMTU=1280\nTable=1\nFwMark=0x1\n[Peer]\nPublicKey=" + public + "\nEndpoint=[fe80::1%x]:1\nAllowedIPs=::/0\nPersistentKeepalive=1\n")
	f.Fuzz(func(t *testing.T, text string) {
		config, err := Parse("/f", []byte(text))
		if err == nil && (config.PrivateKey == Key{} || strings.Contains(fmt.Sprint(config), private)) {
			t.Errorf("%v", config)
		}
		said := fmt.Sprint(err)
		if err == nil {
			said = config.Warnings.Error()
			for _, peer := range config.Peers {
				said += peer.Endpoint.Host
			}
		}
		if strings.Count(said, "\n") > MaxFaults || strings.ContainsFunc(strings.ReplaceAll(said, "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", said)
		}
	})
}
