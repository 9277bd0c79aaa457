// Runs before the page is drawn, so that nothing flashes. `light`, `dark`, or what the system wants.
const theme = JSON.parse(localStorage.getItem("affect.theme") ?? "null");
if (theme) document.documentElement.dataset.theme = theme;
