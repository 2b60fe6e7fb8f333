package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"openrc-netns/internal/preflight"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/terminal"
)

// checkSchema is the version of what --json prints. It changes when something in
// there changes its meaning or goes; new fields may come without.
const checkSchema = 1

// check prints what would keep services from running where their settings say,
// and returns the exit status.
func check(args []string) int {
	problem, err := runCheck(args)
	return conclude("check", problem, err)
}

func runCheck(args []string) (problem bool, err error) {
	var asJSON bool
	flags := pflag.NewFlagSet("check", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&asJSON, "json", false, "")
	if err := flags.Parse(args); err != nil {
		return false, fmt.Errorf("%w; see: rc-netns --help", err)
	}
	if err := privilege.CheckSecure(); err != nil {
		return false, err
	}
	found, err := preflight.Look(flags.Args())
	if err != nil {
		return false, err
	}
	text := ""
	if asJSON {
		text, err = encode(struct {
			Version int `json:"version"`
			*preflight.Report
		}{checkSchema, found})
	} else {
		text = newPage(os.Stdout).report(found)
	}
	if err == nil {
		err = write(text)
	}
	return found.Findings() > 0, err
}

// page is text for people.
type page struct {
	strings.Builder
	width  int // of the terminal, in characters; 0 where there is none
	colour bool
}

func newPage(out *os.File) *page {
	t, _ := terminal.Of(out)
	return &page{width: t.Columns, colour: t.Colour}
}

// The colours that OpenRC uses for the same.
const (
	bad   = sgrBold + ";" + sgrRed
	good  = sgrBold + ";" + sgrGreen
	doubt = sgrBold + ";" + sgrYellow
)

func (p *page) paint(colour, text string) string { return paint(text, colour, p.colour) }

// line prints text after a label, wrapped at the width of the terminal and
// indented by as much as the label takes.
func (p *page) line(label, painted, text string) {
	indent := "\n" + strings.Repeat(" ", len(label))
	p.WriteString(painted + strings.Join(wrap(words(text), p.width, len(label), len(label)), indent) + "\n")
}

func (p *page) report(r *preflight.Report) string {
	openrc := "OpenRC"
	if r.System.OpenRC != "" {
		openrc += " " + r.System.OpenRC
	}
	if r.System.Patched {
		openrc += ", with Alpine's patches for network namespaces"
	}
	p.group("system", openrc, r.System.Findings, r.System.Unchecked)
	for _, s := range r.Services {
		p.group(s.Name, summary(s), s.Findings, s.Unchecked)
	}
	return p.String()
}

// summary says in a few words what a service is to be.
func summary(s preflight.Service) string {
	var parts []string
	if s.Makes != "" {
		parts = append(parts, "makes netns "+s.Makes)
	}
	if s.Netns != "" {
		parts = append(parts, "netns "+s.Netns)
	}
	if s.VRF != "" {
		parts = append(parts, "vrf "+s.VRF)
	}
	if s.Lock {
		parts = append(parts, "locked")
	}
	if !s.Known {
		parts = append(parts, "settings not known")
	}
	if len(parts) == 0 {
		return "no network namespace, no VRF"
	}
	return strings.Join(parts, ", ")
}

func (p *page) group(name, summary string, findings []preflight.Finding, unchecked []string) {
	switch {
	case len(findings) == 1:
		fmt.Fprintf(p, "%s: %s (%s)\n", name, p.paint(bad, "1 finding"), summary)
	case len(findings) > 1:
		fmt.Fprintf(p, "%s: %s (%s)\n", name, p.paint(bad, fmt.Sprintf("%d findings", len(findings))), summary)
	case len(unchecked) > 0:
		fmt.Fprintf(p, "%s: %s (%s)\n", name, p.paint(doubt, "ok so far"), summary)
	default:
		fmt.Fprintf(p, "%s: %s (%s)\n", name, p.paint(good, "ok"), summary)
	}
	for _, f := range findings {
		p.finding(f)
	}
	for _, text := range unchecked {
		p.line("  not checked: ", "  "+p.paint(doubt, "not checked")+": ", text)
	}
}

func (p *page) finding(f preflight.Finding) {
	word, colour := "warning", doubt
	switch f.Effect {
	case preflight.Outside:
		word, colour = "runs outside", bad
	case preflight.Fails:
		word, colour = "does not start", bad
	}
	p.line("  "+word+": ", "  "+p.paint(colour, word)+": ", f.What)
	where := f.Where.Path
	if f.Where.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Where.Line)
	}
	p.line("    where: ", "    where: ", where+" ["+f.ID+"]")
	p.line("    why:   ", "    why:   ", f.Why)
	text := f.Remedy.Text
	if len(f.Remedy.Commands)+len(f.Remedy.Edits) > 0 {
		text += ":"
	}
	p.line("    do:    ", "    do:    ", text)
	// These are for the clipboard, and not wrapped.
	for _, command := range f.Remedy.Commands {
		fmt.Fprintf(p, "           %s\n", command)
	}
	for _, edit := range f.Remedy.Edits {
		what := edit.Text
		if what == "" {
			what = "(an empty line)"
		}
		fmt.Fprintf(p, "           %s:%d: %s\n", edit.Path, edit.Line, what)
	}
}
