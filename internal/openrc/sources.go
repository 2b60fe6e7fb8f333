package openrc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Names are the variables that Settings has, in the order of its fields.
var Names = []string{"netns", "vrf", "netns_etc", "netns_hide", "netns_lock"}

// Set gives the setting that name names a value.
func (s *Settings) Set(name, value string) {
	for i, field := range []*string{&s.Netns, &s.VRF, &s.Etc, &s.Hide, &s.Lock} {
		if Names[i] == name {
			*field = value
		}
	}
}

// ConfFiles lists the files that ReadSettings reads for service, in its order.
func ConfFiles(service string) []string {
	bases := []string{service}
	if base, _, multiplexed := strings.Cut(service, "."); multiplexed && base != "" {
		bases = []string{base, service}
	}
	level := runlevel()
	var files []string
	for _, base := range bases {
		choice := []string{base + "." + level, base}
		if level == "" {
			choice = choice[1:]
		}
		for _, name := range choice {
			file := filepath.Join(ConfDir, name)
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				files = append(files, file)
				break
			}
		}
	}
	return files
}
