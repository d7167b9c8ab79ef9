package images

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/show"
)

// UsageCommand shows what is taken on disk.
func UsageCommand(e Env) *cobra.Command {
	var output string
	var verbose bool
	c := &cobra.Command{
		Use: "df [FLAGS]", Short: "Show what images, containers and volumes take on disk",
		Long: `Shows bytes on disk: a layer that several images share counts once. Reclaimable is what
would be free without the images and volumes that no container uses, and without the
containers that do not run.`,
		Example: "  carob df\n  carob df -v\n  carob df -o json",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := do(cmd.Context(), e, api.DiskUsage, client.Exchange[api.None, api.None]{})
			if err != nil {
				return err
			}
			if output != "" {
				return show.Document(e.Stdout, output, u)
			}
			return e.usage(u, verbose)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "output `FORMAT`: json or yaml")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show each image, container and volume")
	return c
}

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 4) }

// usage writes the tables.
func (e Env) usage(u api.Usage, verbose bool) error {
	t := tabwriter.NewWriter(e.Stdout, 0, 0, 3, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) } // Flush reports what went wrong
	line("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
	used, kept := keptLayers(u)
	line("Images", fmt.Sprint(len(u.Images)), fmt.Sprint(used), size(u.Layers), size(u.Layers-kept))
	running, written, idle := 0, int64(0), int64(0)
	for _, c := range u.Containers {
		written += c.Written
		if show.State(c.Container) == "running" || show.State(c.Container) == "paused" {
			running++
			continue
		}
		idle += c.Written
	}
	line("Containers", fmt.Sprint(len(u.Containers)), fmt.Sprint(running), size(written), size(idle))
	mounted, occupied, unused := unusedVolumes(u)
	line("Volumes", fmt.Sprint(len(u.Volumes)), fmt.Sprint(mounted), size(occupied), size(unused))
	if verbose {
		line()
		line("IMAGE", "IMAGE ID", "SIZE", "SHARED", "UNIQUE", "CONTAINERS")
		for _, i := range u.Images {
			name := "<none>"
			if len(i.Names) > 0 {
				name = i.Names[0]
			}
			line(name, show.Short(i.ID), size(i.Size), size(i.Size-i.Unique), size(i.Unique), fmt.Sprint(len(i.Containers)))
		}
		line()
		line("CONTAINER", "CONTAINER ID", "IMAGE", "WRITTEN", "STATE")
		for _, c := range u.Containers {
			line(show.Title(c.Container), show.Short(c.ID), c.Image, size(c.Written), show.State(c.Container))
		}
		line()
		line("VOLUME", "SIZE", "CONTAINERS")
		for _, v := range u.Volumes {
			line(v.Name, size(v.Size), fmt.Sprint(len(v.Containers)))
		}
	}
	return t.Flush()
}

// keptLayers counts the images that containers use, and the bytes of their layers.
func keptLayers(u api.Usage) (images int, bytes int64) {
	layers := map[string]int64{}
	for _, i := range u.Images {
		if len(i.Containers) == 0 {
			continue
		}
		images++
		for n, dir := range i.Layers {
			layers[dir] = i.LayerSizes[n]
		}
	}
	for _, size := range layers {
		bytes += size
	}
	return images, bytes
}

// unusedVolumes counts the volumes that containers use, the bytes of all, and those of the
// rest.
func unusedVolumes(u api.Usage) (used int, bytes, unused int64) {
	for _, v := range u.Volumes {
		bytes += v.Size
		if len(v.Containers) > 0 {
			used++
		} else {
			unused += v.Size
		}
	}
	return used, bytes, unused
}
