#include "base/base.h"

#include <limits.h>
#include <sys/socket.h>

#include <shs/options.h>

const char *shs_log_level_name(enum shs_log_level level)
{
    switch (level) {
    case SHS_LOG_ERROR:
        return "error";
    case SHS_LOG_WARNING:
        return "warning";
    case SHS_LOG_INFO:
        return "info";
    case SHS_LOG_DEBUG:
        break;
    }
    return "debug";
}

/* Every ceiling and every deadline of the library, in one place. */
void shs_options_init_sized(struct shs_options *opt, size_t size)
{
    struct shs_options defaults = {
        .size = size,
        .bind_and_activate = true,
        .request_queue_size = 511,
        .path_mode = UINT_MAX,
        .timeout_ms = UINT_MAX,
        .poll_interval_ms = 500,
        .max_packet_size = 8192,
        .max_connections = 10000,
        .max_children = 40,
        .max_threads = 1024,
        .block_on_close = true,
        .thread_stack_size = (size_t)256 * 1024,
        .handshake_ms = 10000,
        .head_ms = 10000,
        .idle_ms = 30000,
        .body_ms = 20000,
        .write_ms = 20000,
        .min_rate = 500,
        .close_ms = 2000,
        .stop_ms = 10000,
        .connection_age_ms = 3600000,
        .max_requests_per_connection = 10000,
        .max_request_line = 8192,
        .max_head_bytes = 32768,
        .max_headers = 100,
        .max_body_bytes = (uint64_t)1 << 30,
        .max_buffered_body = 65536,
        .max_buffered_response = 65536,
        .log_level = SHS_LOG_INFO,
        .thread_groups = 1,
        .spare_ms = 10000,
        .queue_ms = 2000,
        .max_queue = 1024,
        .max_connections_per_address = SHS_ADDRESS_SHARE,
        .max_requests_per_turn = 16,
        .stuck_handler_ms = 30000,
        .late_ms = 1000,
    };

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}
