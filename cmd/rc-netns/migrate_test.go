package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/migrate"
)

// migrateKinds are those of the package, in its order.
func migrateKinds(t *testing.T) (kinds []migrate.Kind) {
	source, err := os.ReadFile("../../internal/migrate/migrate.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range regexp.MustCompile(` Kind += "(.*)"`).FindAllStringSubmatch(string(source), -1) {
		kinds = append(kinds, migrate.Kind(kind[1]))
	}
	return kinds
}

// What migrate prints on a wide terminal and on a narrow one, and for programs;
// no remark is without words.
func TestMigrateGolden(t *testing.T) {
	script, conf := "/etc/init.d/my web", "/etc/conf.d/my web"
	at := func(path string, line int, text string) migrate.Line {
		return migrate.Line{Where: finding.Where{Path: path, Line: line}, Text: text}
	}
	web := migrate.Service{
		Name: "my web", Netns: "vpn", VRF: "mgmt", Running: true, Links: []string{"vpn"},
		Entries:  []migrate.Line{at(script, 7, "ip netns exec vpn ip vrf exec mgmt httpd -f '\x1b[2J'")},
		Settings: []migrate.Setting{{Path: conf, Text: "netns=vpn"}, {Path: conf, Text: "vrf=mgmt"}},
		Edits: []migrate.Edit{
			{Path: script, Line: 7, Before: "\tip netns exec vpn ip vrf exec mgmt httpd", Text: "\thttpd"},
			{Path: script, Line: 8, Before: "\tip netns exec vpn \\"},
		},
	}
	stopped := web
	stopped.Name, stopped.Running, stopped.Links = "web", false, nil
	hand := migrate.Service{Name: "hand", Netns: "vpn"}
	known := migrate.Service{Name: "known", VRF: "mgmt"}
	kinds := migrateKinds(t)
	if len(kinds) != len(migrationWords) {
		t.Errorf("%d kinds, and words for %d", len(kinds), len(migrationWords))
	}
	names := map[migrate.Kind][]string{
		migrate.UnknownName: {"$NETNS", "netns"}, migrate.BadName: {"it is empty"}, migrate.TwoPlaces: {"vpn", "lan, VRF mgmt"},
		migrate.OtherSetting: {"netns", "lan", "vpn"}, migrate.OnlyShell: {"netns"}, migrate.OnHost: {"iptables"}, migrate.Makes: {"vpn"},
		migrate.SetsUp: {"vpn"}, migrate.NoScript: {"quotes have no end"}, migrate.SetAlready: {"vrf"}, migrate.EntersAgain: {"netns"},
		migrate.Shared: {"web.lan", "web.two"}, migrate.Unread: {"open /etc/conf.d/web: permission denied"},
	}
	for i, kind := range kinds {
		r := migrate.Remark{Kind: kind, Line: at(script, i+1, "line "+fmt.Sprint(i+1)), Names: names[kind]}
		if kind == migrate.Unread || kind == migrate.OnlyShell || kind == migrate.Shared {
			r.Line = at(script, 0, "")
		}
		if said := migrationWhat(r); said == "" || strings.Contains(said, "%!") {
			t.Errorf("%s: %s", kind, said)
		}
		if kind.ByHand() {
			hand.Remarks = append(hand.Remarks, r)
		} else {
			known.Remarks = append(known.Remarks, r)
		}
	}
	both := stopped
	both.Remarks = hand.Remarks[:1]
	report := &migrate.Report{Patched: true, Services: []migrate.Service{web, stopped, both, hand, known}}
	var text strings.Builder
	for _, width := range []int{0, 60} {
		p := &page{width: width}
		fmt.Fprintf(&text, "-- %d columns --\n%s", width, p.migration(report, true))
	}
	p := &page{}
	text.WriteString("-- nothing --\n" + p.migration(&migrate.Report{}, false))
	encoded, err := encode(describeMigrate(report))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(encoded, "null") {
		t.Error("null in the JSON")
	}
	text.WriteString("-- JSON --\n" + regexp.MustCompile(`\n {5,}`).ReplaceAllString(encoded, " "))
	golden(t, "migrate.txt", text.String())
}
