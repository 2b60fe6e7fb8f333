package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/preflight"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/terminal"
)

// How status and check lay out for people what was found.

// lines is the report for people.
func (o *statusOptions) lines(r *audit.Report, width int, colour bool) []string {
	var lines []string
	if len(r.Services) == 0 {
		lines = append(lines, "no service is confined")
	} else {
		lines = append(lines, serviceTable(r).lines(width, colour)...)
	}
	if len(o.services) > 0 {
		if t := processTable(r); len(t.rows) > 0 {
			lines = append(append(lines, ""), t.lines(width, colour)...)
		}
	} else if len(r.Namespaces) > 0 {
		lines = append(append(lines, ""), namespaceTable(r).lines(width, colour)...)
	}
	if texts := unseen(r.Unseen); len(texts) > 0 {
		lines = append(lines, "")
		for _, text := range texts {
			for _, line := range (note{text: text}).lines(width, colour) {
				lines = append(lines, strings.TrimPrefix(line, "  "))
			}
		}
	}
	return lines
}

func serviceTable(r *audit.Report) table {
	t := table{columns: []column{
		{"SERVICE", 8, 0}, {"STATE", 0, 2}, {"NETNS", 6, 1}, {"VRF", 5, 3}, {"PROCESSES", 0, 4}, {"VERDICT", 0, 0},
	}}
	for i := range r.Services {
		s := &r.Services[i]
		netns, vrf := s.Netns, s.VRF()
		if s.Settings == nil && s.Record == nil {
			netns, vrf = "?", "?"
		}
		row := row{cells: []cell{
			{text: s.Name}, {text: string(s.State)}, {text: dash(netns)}, {text: dash(vrf)},
			{text: strconv.Itoa(len(s.Processes))}, {text: string(s.Verdict), colour: colours(s.Verdict)},
		}}
		for _, f := range s.Findings {
			row.notes = append(row.notes, note{text: string(f.Gravity) + ": " + what(f)})
		}
		if command := oneLine(s.Remedy); command != "" {
			row.notes = append(row.notes, note{text: fixWith, copied: command})
		}
		for _, text := range remarks(s) {
			row.notes = append(row.notes, note{text: text})
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func processTable(r *audit.Report) table {
	t := table{columns: []column{
		{"PID", 0, 0}, {"PROCESS", 6, 1}, {"SERVICE", 8, 2}, {"NETNS", 6, 0}, {"INODE", 0, 3}, {"POSITION", 0, 2},
	}}
	for _, s := range r.Services {
		for _, p := range s.Processes {
			inode, netns := "?", "?"
			if p.Inode != 0 {
				inode, netns = strconv.FormatUint(p.Inode, 10), dash(p.Netns)
			}
			colour, position := "", string(p.Position)
			if p.Position == audit.Elsewhere {
				colour = sgrRed
			}
			if p.Claimed {
				position += ", claimed"
			}
			t.rows = append(t.rows, row{cells: []cell{
				{text: strconv.Itoa(p.PID)}, {text: p.Name}, {text: s.Name}, {text: netns}, {text: inode}, {text: position, colour: colour},
			}})
		}
	}
	return t
}

func namespaceTable(r *audit.Report) table {
	t := table{columns: []column{
		{"NAMESPACE", 8, 0}, {"SERVICES", 8, 2}, {"INTERFACES", 10, 1}, {"OTHER PROCESSES", 15, 2},
	}}
	for _, n := range r.Namespaces {
		var interfaces, processes []string
		for _, i := range n.Interfaces {
			interfaces = append(interfaces, i.Name)
		}
		for _, p := range n.Processes {
			processes = append(processes, fmt.Sprintf("%d (%s)", p.PID, p.Name))
		}
		row := row{cells: []cell{
			{text: n.Name}, items(n.Services), items(interfaces), items(processes),
		}}
		for _, e := range n.Published {
			row.notes = append(row.notes, note{text: published(e)})
		}
		if n.Err != nil {
			row.notes = append(row.notes, note{text: n.Err.Error()})
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// published says where a port of the host leads.
func published(e publish.Entry) string {
	return fmt.Sprintf("the host reaches %s at %s", e.Target, e.Name())
}

func colours(v audit.Verdict) string {
	switch {
	case v.NeedsAction():
		return sgrRed
	case v == audit.OK:
		return sgrGreen
	case v == audit.Unknown:
		return sgrYellow
	}
	return sgrFaint
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
	p.group("system", openrc, r.System.Found)
	for _, s := range r.Services {
		p.group(s.Name, summary(s), s.Found)
	}
	if r.Default != "" {
		p.line("", "", exempted(r))
	}
	return p.String()
}

func (p *page) group(name, summary string, found preflight.Found) {
	verdict := p.paint(good, "ok")
	switch n := len(found.Findings); {
	case n == 1:
		verdict = p.paint(bad, "1 finding")
	case n > 1:
		verdict = p.paint(bad, fmt.Sprintf("%d findings", n))
	case len(found.Unchecked) > 0:
		verdict = p.paint(doubt, "ok so far")
	}
	fmt.Fprintf(p, "%s: %s (%s)\n", clean(name), verdict, clean(summary))
	for _, f := range found.Findings {
		p.finding(f)
	}
	for _, f := range found.Unchecked {
		p.line("  not checked: ", "  "+p.paint(doubt, "not checked")+": ", what(f))
	}
}

func (p *page) finding(f finding.Finding) {
	word, colour := "warning", doubt
	switch f.Gravity {
	case finding.Outside:
		word, colour = "runs outside", bad
	case finding.Fails:
		word, colour = "does not start", bad
	}
	p.line("  "+word+": ", "  "+p.paint(colour, word)+": ", what(f))
	where := f.Where.Path
	if f.Where.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Where.Line)
	}
	p.line("    where: ", "    where: ", where+" ["+f.ID.Name()+"]")
	p.line("    why:   ", "    why:   ", why(f))
	text := do(f)
	if len(f.Remedy.Commands)+len(f.Remedy.Edits) > 0 {
		text += ":"
	}
	p.line("    do:    ", "    do:    ", text)
	// These are for the clipboard, and not wrapped.
	for _, command := range commands(f.Remedy) {
		fmt.Fprintf(p, "           %s\n", clean(command))
	}
	for _, edit := range f.Remedy.Edits {
		text := "(an empty line)"
		if edit.Text != "" {
			text = strings.Join(cleaned(strings.Split(edit.Text, "\t")), "\t")
		}
		fmt.Fprintf(p, "           %s:%d: %s\n", clean(edit.Path), edit.Line, text)
	}
}
