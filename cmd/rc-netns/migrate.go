package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"openrc-netns/internal/migrate"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/shell"
)

// printMigrate prints what to write in place of what enters a network namespace
// or a VRF in init scripts, and returns the status to exit with.
func printMigrate(args []string) int {
	problem, err := runMigrate(args)
	return conclude("migrate", problem, err)
}

func runMigrate(args []string) (problem bool, err error) {
	var asJSON bool
	flags := pflag.NewFlagSet("migrate", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&asJSON, "json", false, "")
	if err := flags.Parse(args); err != nil {
		return false, fmt.Errorf("%w; see: rc-netns --help", err)
	}
	if err := privilege.CheckSecure(); err != nil {
		return false, err
	}
	found, err := migrate.Run(flags.Args())
	if err != nil {
		return false, err
	}
	for i := range found.Services {
		problem = problem || found.Services[i].ToDo()
	}
	text := ""
	if asJSON {
		text, err = encode(describeMigrate(found))
	} else {
		text = newPage(os.Stdout).migration(found, problem)
	}
	if err == nil {
		err = write(text)
	}
	return problem, err
}

// migrationWords say what a remark is about, for its names.
var migrationWords = map[migrate.Kind]string{
	migrate.InText:       "this is in a string or a here-document, which another command reads: if that is run, take the words out there",
	migrate.FromArgument: "the name is an argument of the function: if all callers give the same one, take the words out, and set netns to it",
	migrate.UnknownName:  "only a shell can tell what %[1]s is: set %[2]s to it",
	migrate.BadName:      "%s",
	migrate.Unusual:      "this does more, or less, than to enter one network namespace and run a command",
	migrate.TwoVariables: "the words are in variables of their own: take them out of these, and name the program where ip is named now",
	migrate.TwoPlaces:    "a service has one place, and this one enters several: %s; make it several services, as links to one script for instance",
	migrate.OtherSetting: "%[1]s is %[2]s already, and the script enters %[3]s: decide for one, and take the words out of the script",
	migrate.OnlyShell:    "only a shell can tell what %s is set to: write the value itself, and take the words out of the script",
	migrate.OnHost:       "%s acts on the host's network now, and would act inside: if it is for the host, move it to another service",
	migrate.Makes:        "no daemon runs in network namespace %[1]q, which this makes or deletes: let a service netns.%[1]s do it, with what sets it up in /etc/conf.d/netns.%[1]s",
	migrate.SetsUp:       "network namespace %[1]q will be there before a start and after a stop: set it up in /etc/conf.d/netns.%[1]s",
	migrate.MakesUnknown: "only a shell can tell which network namespace this makes or deletes: it has to be there before the service starts",
	migrate.OfNamespace:  "the service of a network namespace runs on the host's network: what is to run inside belongs in netns_up or netns_down",
	migrate.NoScript:     "this cannot be read without a shell: %s",
	migrate.SetAlready:   "%s is set already",
	migrate.EntersAgain:  "this goes by %s itself; to enter a second time does no harm, except that it fails with netns_lock",
	migrate.Shared:       "the script is also that of %s: move them together",
	migrate.Unread:       "not read: %s",
}

// migrationWhat says it.
func migrationWhat(r migrate.Remark) string {
	text := migrationWords[r.Kind]
	names := r.Names
	if r.Kind == migrate.TwoPlaces || r.Kind == migrate.Shared {
		names = []string{strings.Join(names, "; ")}
	}
	if !strings.Contains(text, "%") {
		return text
	}
	words := make([]any, len(names))
	for i, name := range names {
		words[i] = name
	}
	return fmt.Sprintf(text, words...)
}

// before and after are commands of root, for a service whose files are to be
// changed: the old script has to stop what it has started.
func before(s *migrate.Service) []string {
	commands := []string{}
	if len(s.Settings)+len(s.Edits) == 0 {
		return commands
	}
	if s.Running {
		commands = append(commands, "rc-service "+shell.Quote(s.Name)+" stop")
	}
	for _, netns := range s.Links {
		commands = append(commands, "ln -s netns "+shell.Quote(filepath.Join(rcdir.Init, "netns."+netns)))
	}
	return commands
}

func after(s *migrate.Service) []string {
	if len(s.Settings)+len(s.Edits) == 0 {
		return []string{}
	}
	commands := []string{"rc-netns check " + shell.Quote(s.Name)}
	if s.Running {
		commands = append(commands, "rc-service "+shell.Quote(s.Name)+" start")
	}
	return commands
}

// migration is the report for people.
func (p *page) migration(r *migrate.Report, problem bool) string {
	if r.Patched {
		p.line("", "", "system: OpenRC has Alpine's patches for network namespaces; where openrc-netns has entered they do nothing, and may stay")
	}
	for i := range r.Services {
		p.migrated(&r.Services[i])
	}
	switch {
	case problem:
	case slices.ContainsFunc(r.Services, unread):
		p.line("", "", "nothing to change in what could be read")
	default:
		p.line("", "", "nothing to change: no service enters a network namespace or a VRF by other means")
	}
	return p.String()
}

// unread reports whether a file of the service could not be read.
func unread(s migrate.Service) bool {
	return slices.ContainsFunc(s.Remarks, func(r migrate.Remark) bool { return r.Kind == migrate.Unread })
}

func (p *page) migrated(s *migrate.Service) {
	hand := 0
	for _, r := range s.Remarks {
		if r.Kind.ByHand() {
			hand++
		}
	}
	verdict := p.paint(good, "stays")
	switch edits := len(s.Settings) + len(s.Edits); {
	case edits > 0 && hand > 0:
		verdict = p.paint(bad, "to change") + ", and " + p.paint(doubt, "to look at by hand")
	case edits > 0:
		verdict = p.paint(bad, "to change")
	case hand > 0:
		verdict = p.paint(doubt, "to look at by hand")
	case unread(*s):
		verdict = p.paint(doubt, "not read")
	}
	var places []string
	if s.Netns != "" {
		places = append(places, "netns "+s.Netns)
	}
	if s.VRF != "" {
		places = append(places, "vrf "+s.VRF)
	}
	summary := ""
	if len(places) > 0 {
		summary = " (" + strings.Join(places, ", ") + ")"
	}
	fmt.Fprintf(p, "%s: %s%s\n", clean(s.Name), verdict, clean(summary))
	for _, l := range s.Entries {
		p.copied("now:", fmt.Sprintf("%s:%d: %s", l.Path, l.Line, l.Text))
	}
	for _, command := range before(s) {
		p.copied("first:", command)
	}
	for _, setting := range s.Settings {
		p.copied("write:", setting.Path+": "+setting.Text)
	}
	for _, e := range s.Edits {
		p.copied("change:", fmt.Sprintf("%s:%d", e.Path, e.Line))
		p.copied("", "- "+e.Before)
		p.copied("", "+ "+e.Text)
	}
	for _, command := range after(s) {
		p.copied("then:", command)
	}
	for _, r := range s.Remarks {
		label := "note:    "
		if r.Kind.ByHand() {
			label = "look at: "
		}
		where := r.Path
		if r.Line.Line > 0 {
			where += fmt.Sprintf(":%d", r.Line.Line)
		}
		p.line("  "+label, "  "+label, fmt.Sprintf("%s [%s]", where, r.Kind))
		if r.Text != "" {
			p.copied("", r.Text)
		}
		p.line("           ", "           ", migrationWhat(r))
	}
}

// copied prints what is for the clipboard, and not wrapped.
func (p *page) copied(label, text string) {
	text = strings.TrimRight(strings.Join(cleaned(strings.Split(text, "\t")), "\t"), " ")
	fmt.Fprintf(p, "  %-9s%s\n", label, text)
}

// migrateSchema is the version of what follows, as checkSchema is.
const migrateSchema = 1

// These are the JSON of migrate. No list in it is null.
type (
	jsonMigrate struct {
		Version  int              `json:"version"`
		Patched  bool             `json:"alpine_patches"`
		Services []jsonMigrateOne `json:"services"`
	}
	jsonMigrateOne struct {
		Name     string              `json:"name"`
		ToDo     bool                `json:"to_do"`
		Netns    string              `json:"netns"`
		VRF      string              `json:"vrf"`
		Entries  []jsonMigrateLine   `json:"entries"`
		Before   []string            `json:"before"` // for a shell
		Settings []jsonSetting       `json:"settings"`
		Edits    []jsonMigrateEdit   `json:"edits"`
		After    []string            `json:"after"` // for a shell
		Remarks  []jsonMigrateRemark `json:"remarks"`
	}
	jsonMigrateLine struct {
		Path string `json:"path"`
		Line int    `json:"line"`
		Text string `json:"text"`
	}
	jsonSetting struct {
		Path string `json:"path"`
		Text string `json:"text"`
	}
	jsonMigrateEdit struct {
		Path   string `json:"path"`
		Line   int    `json:"line"`
		Before string `json:"before"`
		Text   string `json:"text"`
	}
	jsonMigrateRemark struct {
		ID     migrate.Kind    `json:"id"`
		ByHand bool            `json:"by_hand"`
		Where  jsonMigrateLine `json:"where"`
		What   string          `json:"what"`
	}
)

func describeMigrate(r *migrate.Report) jsonMigrate {
	report := jsonMigrate{Version: migrateSchema, Patched: r.Patched, Services: []jsonMigrateOne{}}
	line := func(l migrate.Line) jsonMigrateLine { return jsonMigrateLine{l.Path, l.Where.Line, l.Text} }
	for i := range r.Services {
		s := &r.Services[i]
		one := jsonMigrateOne{
			Name: s.Name, ToDo: s.ToDo(), Netns: s.Netns, VRF: s.VRF, Before: before(s), After: after(s),
			Entries: []jsonMigrateLine{}, Settings: []jsonSetting{}, Edits: []jsonMigrateEdit{}, Remarks: []jsonMigrateRemark{},
		}
		for _, l := range s.Entries {
			one.Entries = append(one.Entries, line(l))
		}
		for _, setting := range s.Settings {
			one.Settings = append(one.Settings, jsonSetting(setting))
		}
		for _, e := range s.Edits {
			one.Edits = append(one.Edits, jsonMigrateEdit(e))
		}
		for _, remark := range s.Remarks {
			one.Remarks = append(one.Remarks, jsonMigrateRemark{remark.Kind, remark.Kind.ByHand(), line(remark.Line), migrationWhat(remark)})
		}
		report.Services = append(report.Services, one)
	}
	return report
}
