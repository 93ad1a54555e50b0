# What a machine must have. Sourced; every number stands here and nowhere else.
# shellcheck shell=bash disable=SC2034
MIN_DOCKER_VERSION=25       # start_interval of health checks
MIN_COMPOSE_VERSION=2.24    # build secrets, start_interval
MIN_MEMORY_MIB=3800         # the idle stack takes 2.3 GiB; a first run of Langflow up to 1 GiB more
MIN_DISK_GIB=12             # images 3.3 GiB, build cache as much again, and room for data
START_SECONDS=420           # from containers created to every health check green
LANE_MEMORY_MIB=5700        # a stack and the tests' own processes, for each process where tests run side by side
MOST_LANES=2
