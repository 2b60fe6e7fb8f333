package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// table is rows of cells under titles, to be read by people.
type table struct {
	columns []column
	rows    []row
}

// column is one of a table.
type column struct {
	title string
	// narrow is the width in characters that it can be cut down to; 0 if it
	// cannot.
	narrow int
	// spare says how early it is left out where there is no room, the greatest
	// first; 0 for what makes no sense without.
	spare int
}

// dispensable is from where on a column is left out before others are cut down.
const dispensable = 3

// row is one of a table, with the lines that follow it.
type row struct {
	cells []cell
	notes []note
}

// cell is a text and the colour that it is shown in, as an SGR parameter. Where
// the text is a list, it goes on below where it would be cut otherwise.
type cell struct {
	text, colour string
	list         []string
}

// items is a cell with a list in it, or with a dash where that is empty.
func items(list []string) cell {
	return cell{text: dash(strings.Join(list, " ")), list: list}
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// note is a line below a row. One that is to be copied is not broken.
type note struct {
	text   string
	copied string // what follows the text, in one piece
}

const gap = 2 // blanks between columns

// lines lays the table out for a width in characters; 0 means as wide as it
// gets. No line is wider, but for what is to be copied, and on a terminal of
// less than twenty columns.
func (t table) lines(width int, colour bool) []string {
	widths := t.fit(width)
	var lines []string
	line := func(cells []cell) {
		height := 1
		parts := make([][]string, len(cells))
		for i, c := range cells {
			parts[i] = c.parts(widths[i])
			height = max(height, len(parts[i]))
		}
		for n := range height {
			var b strings.Builder
			pending := 0
			for i, c := range cells {
				if widths[i] < 0 {
					continue
				}
				text := ""
				if n < len(parts[i]) {
					text = parts[i][n]
				}
				if text != "" {
					b.WriteString(strings.Repeat(" ", pending) + paint(text, c.colour, colour))
					pending = 0
				}
				pending += widths[i] - utf8.RuneCountInString(text) + gap
			}
			lines = append(lines, b.String())
		}
	}
	titles := make([]cell, len(t.columns))
	for i, c := range t.columns {
		titles[i] = cell{text: c.title, colour: sgrBold}
	}
	line(titles)
	for _, r := range t.rows {
		line(r.cells)
		for _, n := range r.notes {
			lines = append(lines, n.lines(width, colour)...)
		}
	}
	return lines
}

// fit returns the width of each column; -1 for one that is left out. Columns
// that are dispensable go first, then the others are cut down, then they go as
// well.
func (t table) fit(width int) []int {
	natural := make([]int, len(t.columns))
	for i, c := range t.columns {
		natural[i] = len(c.title)
		for _, r := range t.rows {
			natural[i] = max(natural[i], utf8.RuneCountInString(r.cells[i].text))
		}
	}
	if width == 0 {
		return natural
	}
	for over(natural, width) > 0 && t.leaveOut(natural, dispensable) {
	}
	for {
		widths := slices.Clone(natural)
		for over(widths, width) > 0 && t.cutDown(widths) {
		}
		if over(widths, width) <= 0 || !t.leaveOut(natural, 1) {
			return widths
		}
	}
}

// cutDown takes a character from the widest column that has one to spare.
func (t table) cutDown(widths []int) bool {
	widest := -1
	for i, c := range t.columns {
		if c.narrow > 0 && widths[i] > c.narrow && (widest < 0 || widths[i] > widths[widest]) {
			widest = i
		}
	}
	if widest >= 0 {
		widths[widest]--
	}
	return widest >= 0
}

// leaveOut leaves out the column that is spared most easily, if there is one
// that is so to the given degree.
func (t table) leaveOut(widths []int, spare int) bool {
	out := -1
	for i, c := range t.columns {
		if widths[i] >= 0 && c.spare >= spare && (out < 0 || c.spare > t.columns[out].spare) {
			out = i
		}
	}
	if out >= 0 {
		widths[out] = -1
	}
	return out >= 0
}

// over is by how many characters a line is too wide.
func over(widths []int, width int) int {
	total := -gap
	for _, w := range widths {
		if w >= 0 {
			total += w + gap
		}
	}
	return total - width
}

// lines are those of a note, indented, and more so where it goes on.
func (n note) lines(width int, colour bool) []string {
	const indent = "  "
	lines := wrap(words(n.text), width, len(indent), 2*len(indent))
	for i := range lines {
		lines[i] = indent + lines[i]
		if i > 0 {
			lines[i] = indent + lines[i]
		}
	}
	if n.copied != "" {
		lines[len(lines)-1] += " " + paint(clean(n.copied), sgrBold, colour)
	}
	return lines
}

// parts are the lines of a cell, for its column's width.
func (c cell) parts(width int) []string {
	lines := []string{clean(c.text)}
	if len(c.list) > 0 && width > 0 {
		lines = wrap(cleaned(c.list), width, 0, 0)
	}
	for i := range lines {
		lines[i] = cut(lines[i], width)
	}
	return lines
}

// cut shortens a text to a width, and marks where.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:max(width-1, 0)]) + "~"
}
