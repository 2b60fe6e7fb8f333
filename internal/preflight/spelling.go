package preflight

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/serviceconf"
)

// settings are the variables of ours that begin with netns_, those of the
// services of namespaces included.
var settings = append([]string{provision.InterfacesSetting, provision.WireGuardSetting, provision.VethSetting,
	provision.DNSSetting, provision.SysctlSetting, openrc.InheritSetting, serviceconf.DefaultSetting, serviceconf.RunlevelsSetting, publish.Setting, publish.OptionsSetting}, openrc.Names...)

// confining are the settings without which a service runs on the host's network.
var confining = []string{"netns", "vrf", "netns_lock", serviceconf.DefaultSetting}

// nearestSetting is the setting that a variable was probably meant to be; empty
// where the variable is one, or is like none. What begins as most of ours do may be
// further from one: ordinary words are near to vrf.
func nearestSetting(name string) string {
	if slices.Contains(settings, name) {
		return ""
	}
	for _, known := range settings {
		if editDistance(strings.ToLower(name), known) <= 1 {
			return known
		}
	}
	if !strings.HasPrefix(name, "netns_") {
		return ""
	}
	return nearest(name, settings)
}

// notAssignment matches a line that somebody may take for an assignment, and a shell
// takes for a command: with a colon, or with blanks around the sign or in place of it.
var notAssignment = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_-]*)(?:[ \t]+=[ \t]*|=[ \t]+|[ \t]*:[ \t]*|[ \t]+)([^\s=#;&|]\S*)[ \t]*(?:[#;&|].*)?$`)
})

// checkSpelling looks for what is none of the settings, and like one, and for settings
// that are not set in the way that they are written. What the init script knows is
// something else.
func (f *Found) checkSpelling(file, script string) {
	if name := filepath.Base(file); name == "net" || strings.HasPrefix(name, "net.") {
		return // netifrc's: netns_eth0 is for the interface eth0
	}
	add := func(id finding.ID, where finding.Where, edit finding.Edit, name, known string) {
		gravity := finding.Warning
		if slices.Contains(confining, known) {
			gravity = finding.Outside
		}
		f.add(id, gravity, where, finding.Write(edit), name, known)
	}
	for _, a := range confd.Assignments(file) {
		known := nearestSetting(a.Name)
		if known != "" && !confd.HasWord(script, a.Name) && (strings.HasPrefix(a.Name, "netns_") || !confd.Assigns(file, known)) {
			where := finding.Where{Path: file, Line: a.Line}
			add(finding.SettingUnknown, where, rename(where, a.Name, known), a.Name, known)
		}
	}
	text, _ := confd.Load(file)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, marked := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\ufeff")
		if marked { // to a shell a part of the word
			line = strings.Replace(line, "=", " =", 1)
		}
		found := notAssignment().FindStringSubmatch(line)
		if found == nil || confd.HasWord(script, found[1]) && !slices.Contains(settings, found[1]) {
			continue
		}
		known := found[1]
		if !slices.Contains(settings, known) {
			known = nearestSetting(known)
		}
		if known != "" {
			where := finding.Where{Path: file, Line: number}
			add(finding.SettingUnknownLine, where, finding.Edit{Path: file, Line: number, Text: known + "=" + found[2]}, strings.TrimSpace(line), known)
		}
	}
}

// rename is the edit that gives the variable called name another one.
func rename(where finding.Where, name, other string) finding.Edit {
	return edit(where, func(line string) string { return strings.Replace(line, name+"=", other+"=", 1) })
}

// nearest is that one of names which is at an edit distance of no more than two
// from name; empty where there is none, or where name is one of them.
func nearest(name string, names []string) string {
	best, distance := "", 3
	for _, candidate := range names {
		d := editDistance(name, candidate)
		if d == 0 {
			return ""
		}
		// Of a short name little is left after two edits.
		if d < distance && 2*d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance is the number of characters to insert, drop, replace, or swap
// with their neighbour to make a of b (the optimal string alignment distance).
func editDistance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := row[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			next[j] = min(replaced, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
