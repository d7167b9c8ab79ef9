package ocirt

// Processes lists the numbers of the container's processes.
func (c *Container) Processes() ([]int, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	return g.Procs()
}
