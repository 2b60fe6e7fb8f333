package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/openrc"
)

func TestTableFitsAnyWidth(t *testing.T) {
	long := strings.Repeat("x", 40)
	tbl := table{
		columns: []column{{"SERVICE", 8, 0}, {"STATE", 0, 2}, {"NETNS", 6, 1}, {"PROCESSES", 0, 4}, {"VERDICT", 0, 0}},
		rows: []row{
			{cells: []cell{{text: long}, {text: "started"}, {text: long}, {text: "1"}, {text: "outside", colour: sgrRed}},
				notes: []note{{text: "one two three four five six seven"}, {text: fixWith, copied: "rc-service " + long + " restart"}}},
			{cells: []cell{{text: "b"}, {text: "stopped"}, {text: "-"}, {text: "0"}, {text: "stopped"}}},
		},
	}
	for width := 20; width <= 140; width++ {
		lines := tbl.lines(width, false)
		verdict := strings.Index(lines[0], "VERDICT")
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width && !strings.HasSuffix(line, "restart") {
				t.Errorf("%d: %q is too wide", width, line)
			}
			if strings.HasPrefix(line, " ") {
				continue
			}
			if got := line[verdict:]; got != "VERDICT" && got != "outside" && got != "stopped" {
				t.Errorf("%d: %q is not aligned", width, line)
			}
		}
		if all := strings.Join(lines, "\n"); !strings.Contains(all, "rc-service "+long+" restart") {
			t.Errorf("%d: what is to be copied was cut", width)
		}
	}
	for width := 1; width < 20; width++ {
		tbl.lines(width, false) // has to come to an end
	}
	coloured := strings.Join(tbl.lines(0, true), "\n")
	if plain := strings.NewReplacer("\x1b[1m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(coloured); plain != strings.Join(tbl.lines(0, false), "\n") {
		t.Errorf("colours change more than colour:\n%s", plain)
	}
}

// What matters least goes first.
func TestTitlesFitAnyWidth(t *testing.T) {
	settings := &openrc.Settings{Netns: "nowhere"}
	report := &audit.Report{Services: []audit.Service{{Name: "daemon.with-a-long-name", State: openrc.Started, Settings: settings, Netns: "nowhere", Verdict: audit.OK}}}
	for width, want := range map[int]string{
		66: "SERVICE                  STATE    NETNS    VRF  PROCESSES  VERDICT",
		65: "SERVICE                  STATE    NETNS    VRF  VERDICT",
		50: "SERVICE                  STATE    NETNS    VERDICT",
		40: "SERVICE        STATE    NETNS    VERDICT",
		30: "SERVICE       NETNS    VERDICT",
		20: "SERVICE      VERDICT",
	} {
		if got := serviceTable(report).lines(width, false)[0]; got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}

// What is cut cannot be seen anywhere else: a list goes on below.
func TestListGoesOnBelow(t *testing.T) {
	tbl := table{
		columns: []column{{"NAMESPACE", 8, 0}, {"SERVICES", 8, 0}, {"OTHER PROCESSES", 15, 0}},
		rows: []row{
			{cells: []cell{{text: "vpn"}, items([]string{"chronyd", "sshd", "web"}), items([]string{"123 (sleep)", "4567 (a-long-name-of-it)"})}},
			{cells: []cell{{text: "lab"}, items(nil), items(nil)}},
		},
	}
	for width, want := range map[int]string{
		0: "NAMESPACE  SERVICES          OTHER PROCESSES\n" +
			"vpn        chronyd sshd web  123 (sleep) 4567 (a-long-name-of-it)\n" +
			"lab        -                 -",
		40: "NAMESPACE  SERVICES      OTHER PROCESSES\n" +
			"vpn        chronyd sshd  123 (sleep)\n" +
			"           web           4567 (a-long-n~\n" +
			"lab        -             -",
	} {
		if got := strings.Join(tbl.lines(width, false), "\n"); got != want {
			t.Errorf("%d:\n%s\nwant\n%s", width, got, want)
		}
	}
}

// A process calls itself what it likes.
func TestTerminalIsNotAtTheMercyOfNames(t *testing.T) {
	tbl := table{columns: []column{{"PROCESS", 0, 0}}, rows: []row{{
		cells: []cell{{text: "a\x1b[2J\nb\x9b\xff"}}, notes: []note{{text: "x\x07 y", copied: "kill \x1b1"}},
	}}}
	got := strings.Join(tbl.lines(0, false), "\n")
	if want := "PROCESS\na?[2J?b??\n  x? y kill ?1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	// JSON leaves it to who reads it whether that is a name.
	name := "a\x1b\u0085\u009b\u007f\u202e\u2028\U000e0001b"
	got, err := encode([]string{name})
	if want := "[\n  \"a\\u001b\\u0085\\u009b\\u007f\\u202e\\u2028\\udb40\\udc01b\"\n]\n"; err != nil || got != want {
		t.Errorf("%v, got %q, want %q", err, got, want)
	}
	var read []string
	if err := json.Unmarshal([]byte(got), &read); err != nil || read[0] != name {
		t.Errorf("%v, read %q, want %q", err, read, name)
	}
}
