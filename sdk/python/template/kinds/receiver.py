from stormglass import Notification, Receiver, log, plugin


@plugin
class Hello(Receiver):
    def notify(self, notification: Notification) -> None:
        log.info(f"{notification.status}: {len(notification.alerts)}")
