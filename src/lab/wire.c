/* wire.c - faults on the wire: what OpenSSL writes goes out record by record. */
#include "lab/talk.h"

#define FLOOD 50
#define ALERT_WARNING 1
#define ALERT_FATAL 2
#define UNRECOGNIZED_NAME 112
#define USER_CANCELED 90 /* many clients end at a warning of 112, but not at this one */
#define PROTOCOL_VERSION 70
#define TYPE_HANDSHAKE 22
#define TYPE_APPLICATION 23

static int send_alert(struct shs__lab_talk *talk, int level, int number)
{
    const unsigned char alert[] = {21, 3, 3, 0, 2, (unsigned char)level, (unsigned char)number};

    return shs__lab_talk_send(talk, alert, sizeof alert);
}

static int end_with_alert(struct shs__lab_talk *talk, int number)
{
    int rc = send_alert(talk, ALERT_FATAL, number);

    return rc == SHS_OK ? SHS_CLOSED : rc;
}

int shs__lab_wire_hello(struct shs__lab_talk *talk)
{
    const struct shs__lab_make *make = &talk->unit->row->make;
    struct shs_str canned;
    int rc = SHS_OK;

    switch (make->wire) {
    case LAB_WIRE_CANNED:
        canned = shs__lab_canned(make->canned);
        rc = shs__lab_talk_send(talk, canned.ptr, canned.len);
        return rc == SHS_OK ? SHS_CLOSED : rc;
    case LAB_WIRE_ALERT:
        return end_with_alert(talk, make->arg);
    case LAB_WIRE_STALL_HELLO:
        return shs__lab_talk_stall(talk);
    case LAB_WIRE_CLOSE_HELLO:
        return SHS_CLOSED;
    case LAB_WIRE_RST_HELLO:
        return shs__lab_talk_reset(talk);
    case LAB_WIRE_SNI_WARNING:
        return send_alert(talk, ALERT_WARNING, UNRECOGNIZED_NAME);
    case LAB_WIRE_FLOOD:
        for (int i = 0; i < FLOOD && rc == SHS_OK; i++)
            rc = send_alert(talk, ALERT_WARNING, USER_CANCELED);
        return rc;
    case LAB_WIRE_INTOLERANT:
        if (talk->hello.offers_13)
            return end_with_alert(talk, PROTOCOL_VERSION);
        talk->went_on = true; /* it came again, with less */
        return SHS_OK;
    case LAB_WIRE_PLAIN:
    case LAB_WIRE_STALL_FLIGHT:
    case LAB_WIRE_SLOW:
    case LAB_WIRE_CUT:
    case LAB_WIRE_FLIP_FLIGHT:
    case LAB_WIRE_FLIP_ANSWER:
    case LAB_WIRE_RST_ANSWER:
        break;
    }
    return SHS_OK;
}

static int send_slowly(struct shs__lab_talk *talk, const char *record, size_t len)
{
    int rc = SHS_OK;

    for (size_t i = 0; i < len && rc == SHS_OK; i++) {
        rc = shs__lab_talk_send(talk, record + i, 1);
        if (i % 8 == 7)
            shs__lab_talk_nap(talk, 1);
    }
    return rc;
}

static int cut(struct shs__lab_talk *talk, const char *record, size_t len, bool reset)
{
    int rc = shs__lab_talk_send(talk, record, len / 2);

    talk->fault_made = true;
    talk->over = true;
    if (rc == SHS_OK && reset)
        rc = shs__lab_talk_reset(talk);
    return rc == SHS_OK ? SHS_CLOSED : rc;
}

/* One record, complete. */
static int send_record(struct shs__lab_talk *talk, char *record, size_t len)
{
    enum shs__lab_wire wire = talk->unit->row->make.wire;
    bool sealed = record[0] == TYPE_APPLICATION;
    bool of_flight = !talk->handshake_done;
    bool is_answer = talk->answering && sealed && len > 5 + 40;

    if (of_flight)
        talk->flight++;
    if (!talk->fault_made) {
        if (wire == LAB_WIRE_SLOW && of_flight)
            return send_slowly(talk, record, len);
        if (wire == LAB_WIRE_STALL_FLIGHT && talk->flight > 1)
            return shs__lab_talk_stall(talk);
        /* In the middle of the first long record behind the ServerHello. */
        if (wire == LAB_WIRE_CUT && talk->flight > 1 && len > 200)
            return cut(talk, record, len, false);
        if (wire == LAB_WIRE_RST_ANSWER && is_answer)
            return cut(talk, record, len, true);
        if ((wire == LAB_WIRE_FLIP_FLIGHT && of_flight && sealed) ||
            (wire == LAB_WIRE_FLIP_ANSWER && is_answer)) {
            record[len / 2] = (char)(record[len / 2] ^ 0x40);
            talk->fault_made = true;
        }
    }
    return shs__lab_talk_send(talk, record, len);
}

/* Whether records must leave one by one; else what there is leaves at once. */
static bool is_plain(const struct shs__lab_talk *talk)
{
    enum shs__lab_wire wire = talk->unit->row->make.wire;

    return wire == LAB_WIRE_PLAIN || wire == LAB_WIRE_FLOOD || wire == LAB_WIRE_SNI_WARNING ||
           wire == LAB_WIRE_INTOLERANT;
}

int shs__lab_wire_flush(struct shs__lab_talk *talk)
{
    char *data = NULL;
    long len = BIO_get_mem_data(talk->wbio, &data);
    int rc = SHS_OK;

    if (talk->over)
        return SHS_CLOSED;
    if (len > 0) {
        if (shs__buf_append(&talk->out, data, (size_t)len) != SHS_OK)
            return SHS_NOMEM;
        (void)BIO_reset(talk->wbio);
    }
    if (is_plain(talk)) {
        if (talk->out.len > 0)
            rc = shs__lab_talk_send(talk, shs__buf_head(&talk->out), talk->out.len);
        shs__buf_consume(&talk->out, talk->out.len);
        return rc;
    }
    while (rc == SHS_OK && talk->out.len >= 5) {
        const unsigned char *head = (const unsigned char *)shs__buf_head(&talk->out);
        size_t record = 5 + ((size_t)head[3] << 8 | head[4]);

        if (talk->out.len < record)
            break;
        rc = send_record(talk, shs__buf_head(&talk->out), record);
        shs__buf_consume(&talk->out, record);
    }
    return rc;
}
